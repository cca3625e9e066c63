"""The wire side, where it is not hot: what turns the events of a connection into calls of whoever serves it."""
