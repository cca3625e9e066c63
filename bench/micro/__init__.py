"""Single functions in memory, no sockets: what one event, one kernel call and one exchange cost.

Run with ``python -m bench.micro``.  Figures are the least of several repeats in nanoseconds, since all that disturbs
such a timing makes it longer; compare them within one run.
"""
