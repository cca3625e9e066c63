"""Benchmarks: ``bench.macro`` sets whole servers side by side, ``bench.micro`` times single functions."""
