"""Processes: the supervisor, the worker and its event loop, the embeddable server, loading the application, logs."""
