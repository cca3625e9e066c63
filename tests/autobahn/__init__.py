"""The Autobahn WebSocket test suite against this server or another, run by ``make autobahn``."""
