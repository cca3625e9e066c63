"""Where settings come from, weakest first: the defaults, a file, the environment, then the command line.

What the start itself needs (``topics.start``) is settled first, since it says which file is read and what is in the
environment; then each place is translated into canonical keys and laid over the one below.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fastserver.config.aliases import translate
from fastserver.config.errors import ConfigError
from fastserver.config.model import SETTINGS, Config
from fastserver.config.setting import quote
from fastserver.config.sources.dotenv import parse_assignments, read_env_file
from fastserver.config.sources.environment import read_environment, read_uvicorn
from fastserver.config.sources.files import find_file, read_file
from fastserver.config.sources.layer import Layer
from fastserver.config.sources.python import Site
from fastserver.config.topics.start import Start

_APP_DIR: Final = ("app_dir", *SETTINGS["app_dir"].aliases)
#: What peregrine takes in milliseconds under the same flags, and seconds that nobody means.
_WAITS: Final = ("timeout_keep_alive", "timeout_graceful_shutdown", "timeout_request_body_idle", "drain_delay")
_LONG_S: Final = 1000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and how it came about.

    ``origins`` names by canonical key, of ``config`` and ``start`` alike, where a value comes from; what it lacks is a
    default.  ``environment`` holds the variables that files and ``env`` add to those of the process.  ``file`` is the
    configuration file that was read, ``directory`` where the server is to run.  ``warnings`` are lines for the user.
    """

    config: Config
    start: Start
    origins: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    file: str | None = None
    directory: str = "."
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sources:
    """What a start has before any file is read.  ``beneath`` goes below this server's own variables."""

    typed: Layer
    environ: Mapping[str, str]
    beneath: tuple[Layer, ...]

    def list_layers(self, variables: Mapping[str, str], file: Layer | None) -> list[Layer]:
        """All layers, the strongest first, with ``variables`` over the environment."""
        environ = {**self.environ, **variables}
        layers = [self.typed, read_environment(environ), *self.beneath, read_uvicorn(environ)]
        return layers if file is None else [*layers, file]

    def settle(self, directory: str, file: Layer | None = None) -> "_Settled":
        """What the start needs, and the environment that it asks for, read from ``directory``."""
        start, origins = _settle_start(self.list_layers({}, file))
        variables = _read_variables(start, origins, self.environ, directory)
        layers = self.list_layers(variables, file)
        return _Settled(layers, *_settle_start(layers), variables)


@dataclass(frozen=True, slots=True)
class _Settled:
    layers: list[Layer]
    start: Start
    origins: dict[str, str]
    variables: dict[str, str]


def load(
    typed: Layer,
    environ: Mapping[str, str] | None = None,
    beneath: Iterable[Layer] = (),
    directory: str = ".",
    find: bool = True,
) -> Loaded:
    """All settings of ``typed`` (a command line) over ``environ`` (``os.environ``) over a file over the defaults.

    ``beneath`` are further layers between the environment and the file, the strongest first.  ``directory`` is where
    the server was started; relative names of files are taken from it, or from ``chdir``.  Without ``find`` only a file
    that is named is read.  Nothing is changed, neither the directory nor the environment.  ``ConfigError`` names the
    place that is at fault.
    """
    sources = _Sources(typed, os.environ if environ is None else environ, tuple(beneath))
    start, origins = _settle_start(sources.list_layers({}, None))
    directory = _enter(start, origins, directory)
    settled = sources.settle(directory)
    spec = settled.start.config
    if spec is None and find:
        spec = find_file(directory)
    file = None
    if spec is not None:
        file = read_file(spec, Site(directory, _find_app_dir(settled), settled.variables))
        settled = sources.settle(directory, file)
        if settled.start.chdir != start.chdir:  # the file's: only now
            directory = _enter(settled.start, settled.origins, directory)
    config, origins, warnings = _merge(settled.layers)
    return Loaded(
        config,
        settled.start,
        {**origins, **settled.origins},
        settled.variables,
        None if file is None else file.place,
        directory,
        warnings,
    )


def load_config(
    given: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Config:
    """A ``Config`` of ``given`` (see ``Config.from_mapping``) over ``environ`` (``os.environ``) over the defaults.

    ``names`` tells how the caller's user wrote a key, such as ``--bind``, for the ``ConfigError`` that may be raised.
    """
    return load(Layer(given or {}, names or {}), environ, find=False).config


def _settle_start(layers: Iterable[Layer]) -> tuple[Start, dict[str, str]]:
    """What the start needs, each setting of the strongest layer that has it, and where each is from."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for key, (name, value) in layer.split()[0].items():
            if key not in values:
                values[key], origins[key] = value, layer.spell(name)
    try:
        return Start(**values), origins
    except ConfigError as error:
        raise ConfigError(origins[error.key], error.problem) from None


def _enter(start: Start, origins: Mapping[str, str], directory: str) -> str:
    """The directory that ``chdir`` leads to from ``directory``."""
    if start.chdir is None:
        return directory
    path = os.path.join(directory, start.chdir)
    if not os.path.isdir(path):
        raise ConfigError(origins["chdir"], f"{quote(start.chdir)} is no directory")
    return path


def _read_variables(
    start: Start, origins: Mapping[str, str], environ: Mapping[str, str], directory: str
) -> dict[str, str]:
    """The variables that go beside those of ``environ``: of files below them, of ``env`` over them."""
    found: dict[str, str] = {}
    for name in start.env_file:
        try:
            found |= read_env_file(os.path.join(directory, name), name)
        except ConfigError as error:
            raise ConfigError(f"{origins['env_file']}: {error.key}", error.problem) from None
    found = {name: value for name, value in found.items() if name not in environ}
    if start.env:
        found |= parse_assignments(start.env, origins["env"])
    return found


def _find_app_dir(settled: _Settled) -> str:
    """The directory of the application, as far as it is known before a file is read."""
    given = (layer.given[name] for layer in settled.layers for name in _APP_DIR if name in layer.given)
    return next((text for text in given if isinstance(text, str) and text), ".")


def _merge(layers: Sequence[Layer]) -> tuple[Config, dict[str, str], tuple[str, ...]]:
    """The configuration of all layers, where each setting is from, and what to warn of."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    warnings: list[str] = []
    for layer in reversed(layers):
        _, rest = layer.split()
        try:
            meaning = translate(rest, SETTINGS, values, layer.lenient)
        except ConfigError as error:
            raise ConfigError(layer.spell(error.key), error.problem) from None
        values |= meaning.values
        origins |= {key: layer.spell(name) for key, name in meaning.names.items()}
        warnings += layer.warnings
        warnings += (f"{layer.spell(name)} {note}" for name, note in meaning.notes)
    try:
        config = Config(**values)
    except ConfigError as error:
        raise ConfigError(origins.get(error.key, error.key), error.problem) from None
    warnings += (
        f"{origins[key]} is {values[key]} seconds; milliseconds are written {values[key]}ms"
        for key in _WAITS
        if key in values and str(values[key]).isdigit() and int(values[key]) >= _LONG_S
    )
    return config, origins, tuple(warnings)
