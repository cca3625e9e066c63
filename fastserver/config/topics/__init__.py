"""The settings by topic: each class holds the fields of one, and ``model.Config`` is all of them together."""
