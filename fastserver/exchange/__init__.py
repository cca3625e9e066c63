"""The application side: what carries one exchange, or the application's lifespan, to the user's callable."""
