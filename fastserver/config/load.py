"""Where settings come from, weakest first: the defaults, the environment, then what the caller gives.

The environment is read by canonical key alone (``FASTSERVER_WORKERS``).  An unknown ``FASTSERVER_`` variable is none of
our business: Kubernetes puts ``FASTSERVER_PORT=tcp://...`` beside a service of that name.
"""

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from fastserver.config.aliases import translate
from fastserver.config.errors import ConfigError
from fastserver.config.model import SETTINGS, Config

PREFIX: Final = "FASTSERVER_"
#: The variable that platforms set for the number of workers; ``FASTSERVER_WORKERS`` goes over it.
WEB_CONCURRENCY: Final = "WEB_CONCURRENCY"
# What stands between several items in one variable; a header's value may hold commas and blanks, a pair
# of files a comma.
_SEPARATOR: Final = re.compile(r"[,\s]+")
_SEPARATORS: Final = {"header": re.compile(r"[\r\n]+"), "sni_cert": re.compile(r"\s+")}


def variable_of(key: str) -> str:
    """The environment variable of a canonical key."""
    return PREFIX + key.upper()


def read_environment(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Canonical keys and their texts, and for each key the variable that gave it; an empty one counts as unset."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if environ.get(WEB_CONCURRENCY):
        values["workers"], sources["workers"] = environ[WEB_CONCURRENCY], WEB_CONCURRENCY
    for key, fact in SETTINGS.items():
        text = environ.get(variable_of(key))
        if text:
            values[key] = _split(key, text) if fact.repeats else text
            sources[key] = variable_of(key)
    return values, sources


def load_config(
    given: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Config:
    """A ``Config`` of ``given`` (see ``Config.from_mapping``) over ``environ`` (``os.environ``) over the defaults.

    ``names`` tells how the caller's user wrote a key, such as ``--bind``, for the ``ConfigError`` that may be raised.
    """
    names = names or {}
    environment, sources = read_environment(os.environ if environ is None else environ)
    try:
        values = translate(environment, SETTINGS)
        own = translate(given or {}, SETTINGS, values)
        sources = {key: source for key, source in sources.items() if key not in own}
        return Config(**{**values, **own})
    except ConfigError as error:
        raise ConfigError(sources.get(error.key) or names.get(error.key, error.key), error.problem) from None


def _split(key: str, text: str) -> tuple[str, ...]:
    separator = _SEPARATORS.get(key, _SEPARATOR)
    return tuple(item for item in separator.split(text.strip()) if item)
