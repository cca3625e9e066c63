"""One process that serves: the embeddable server, what its connections share, and the application that it loads."""
