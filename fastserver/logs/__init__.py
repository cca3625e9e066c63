"""The logs: the error log, the access log, and the files that neither waits for."""
