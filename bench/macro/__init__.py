"""This server beside others: CPU time per request, requests per second, memory per idle connection.

Run with ``python -m bench.macro``; ``bench/README.md`` says how it measures and why.
"""
