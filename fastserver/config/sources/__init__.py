"""The places that settings are read from: each gives a ``Layer``, and ``load`` lays one over the other."""
