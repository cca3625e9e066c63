"""The asyncio edge: listening sockets, and what turns reads and writes of a connection into events."""
