"""Processes: the worker with its event loop, and the supervisor that starts, replaces and stops workers."""
