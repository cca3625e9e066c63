"""Where the buckets of a histogram of seconds end; the one list for latency and for the lag of the event loop."""

#: Upper bounds in seconds, inclusive; one more bucket holds what is longer than the last.
BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
