"""What helps to write an application: the server starts anew when a file changes (``--reload``)."""
