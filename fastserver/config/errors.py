"""The one error of the configuration: always a single line that names the key, what is wrong and what is allowed."""


class ConfigError(ValueError):
    """A setting that cannot be used.  ``str()`` is ``"<key>: <problem>"``, one line, fit to show to a user as it is.

    ``key`` is the setting's name, or the name of the place it came from (an environment variable, a flag).
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(key, problem)
        self.key = key
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}"
