"""The reference of all settings as Markdown, out of the model: ``python -m fastserver.config.reference``.

The text stands in ``docs/settings.md``; a test compares the two.
"""

import sys
from collections.abc import Iterable, Iterator

from fastserver.config import versions
from fastserver.config.aliases import DEFAULT_HOST, DENIALS, LISTENERS, METRICS_LISTENERS, QUIC_PORT
from fastserver.config.bind import METRICS_PORT
from fastserver.config.model import DEFAULTS, SETTINGS
from fastserver.config.rivals import TOPICS, Rival
from fastserver.config.setting import Setting, denials_of, flags_of, spell_flag
from fastserver.config.sources.environment import PREFIX, WEB_CONCURRENCY, variable_of
from fastserver.config.topics.start import NO_FLAG, NO_VARIABLE, NOT_IN_FILES, START

_INTRODUCTION = f"""\
# Settings

<!-- Written by `python -m fastserver.config.reference > docs/settings.md`; change `fastserver/config/topics/`. -->

Each setting has one key. It is the keyword of `fastserver.Config(...)`, the flag with `--` and dashes, the environment
variable with `{PREFIX}` and capitals, and the key of a file. A flag goes over the environment, the environment over the
file, the file over the default. `Config(...)` alone reads no environment and no file.

- **Files**: `-c FILE`, or `{variable_of("config")}`; without it `fastserver.toml`, else `[tool.fastserver]` in
  `pyproject.toml`, of the working directory. A file is one of `x.toml`, `x.py` (`file:x.py`; it is run, and its names
  are settings, as in a `gunicorn.conf.py`) and `python:package.module`. Every key may have another server's name. An
  unknown key ends the start; in Python there is only a warning, where it is nearly a setting. Keys that only hypercorn
  knows are passed over with a warning.
- `fastserver --print-config` prints all settings as a `fastserver.toml`, with where each comes from; `--check-config`
  reads everything, loads the certificates and the application, and says `configuration is fine`, or what is wrong.
- **Durations** are seconds (`5`, `2.5`) or have a unit: `500ms`, `5s`, `2m`, `1h`, `1d`.
- **Sizes** are bytes (`8190`) or have a unit of 1024: `64k`, `16m`, `1g`.
- **Switches** have a flag for each side (`--access-log`, `--no-access-log`); elsewhere `yes`, `true`, `on`, `1` and
  `no`, `false`, `off`, `0`.
- **Lists**: the flag may be given several times. In the environment they are parted by commas or blanks,
  `{variable_of("header")}` by line breaks, `{variable_of("sni_cert")}` by blanks.
- Settings that need a supervisor give it one worker where `workers` is 0.
- `{WEB_CONCURRENCY}` is the default of `workers`, below `{variable_of("workers")}`. An empty variable counts as unset.
- A value that cannot be used ends the start with exit code 2 and one line that says why; a certificate, a log or an
  address that cannot be opened, and an application that cannot be loaded, end it with exit code 3.
"""

_COMPATIBILITY = """\
## Flags of other servers

[migration.md](migration.md) tells where names mean two things, and what else of other servers is read.

The flags and keyword arguments of uvicorn, hypercorn and others for the settings above work as they are: each "also"
above is a flag (with dashes) and a key of `Config.from_mapping` and `fastserver.run`.

- {listeners} make one bind, as in uvicorn: a socket path goes before a descriptor, a descriptor before host and port.
- {metrics} make one `metrics_bind`, as in granian; the host is {metrics_host} and the port {metrics_port} by default.
- `{quic_port}` makes one `quic_bind` of each host of `bind`, as in peregrine, in the place of what `http3` would add.
- {denials}.
- {versions} say of `http1`, `http2` and `h2c` what they say in granian, peregrine, gunicorn and hypercorn; where both
  versions are named, HTTP/2 has to stand first. A list that names `h3` switches `http3` on.
- {worded} may be followed by a word.
- hypercorn's old `--access-log FILE` is taken for `--access-logfile FILE` where the word after it is `-`, a path
  without a colon, or ends in `.log`.
- `-k uvicorn.workers.UvicornWorker` is uvloop; `cert_reqs` takes the numbers of `ssl.VerifyMode`, `log_level` those of
  `logging`.

## What other servers have and this one has not

It is refused by name, never ignored, and the error line says what to write instead. A value in the list below is what
this server does anyway, and passes. A switch passes where it says no, unless the list has it otherwise. What is "passed
over" makes no difference here: any value of it passes, with a warning.
"""


def render() -> str:
    """The whole reference, with a line break at its end."""
    return "\n".join((_INTRODUCTION, *_render_settings(), _render_compatibility(), *_render_rivals())).rstrip() + "\n"


def _render_settings() -> Iterator[str]:
    group = ""
    for key, fact in {**START, **SETTINGS}.items():
        if fact.group != group:
            group = fact.group
            yield f"## {group[:1].upper()}{group[1:]}\n"
        yield f"### `{key}`\n"
        yield f"{fact.help}\n"
        yield "\n".join(f"- {line}" for line in _describe(key, fact)) + "\n"


def _describe(key: str, fact: Setting) -> Iterator[str]:
    shown = fact.render(DEFAULTS.get(key))
    yield f"Default: `{shown}`" if shown else "Default: none"
    yield f"Value: {fact.describe()}"
    yield f"Flag: {_quote((*flags_of(key, fact), *denials_of(key, fact)))}" if key not in NO_FLAG else "Flag: none"
    yield f"Environment: `{variable_of(key)}`" if key not in NO_VARIABLE else "Environment: none"
    if key in NOT_IN_FILES:
        yield "Files: none"
    also = (fact.singular, *fact.aliases) if fact.singular else fact.aliases
    if also:
        yield f"Also: {_quote(also)}"


def _render_compatibility() -> str:
    denials = "; ".join(f"`{name}` is `{key}` {SETTINGS[key].render(value)}" for name, (key, value) in DENIALS.items())
    return _COMPATIBILITY.format(
        listeners=_quote(LISTENERS),
        metrics=_quote(METRICS_LISTENERS),
        metrics_host=DEFAULT_HOST,
        metrics_port=METRICS_PORT,
        quic_port=QUIC_PORT,
        denials=denials,
        versions=_quote(versions.KEYS),
        worded=_quote(f"{spell_flag(key)}" for key, fact in SETTINGS.items() if fact.takes_word),
    )


def _render_rivals() -> Iterator[str]:
    for topic, rivals in TOPICS.items():
        yield f"- {topic}: {', '.join(map(_describe_rival, rivals))}"


def _describe_rival(rival: Rival) -> str:
    names = "/".join(f"`{name}`" for name in (rival.key, *rival.aliases))
    values = ("yes",) if rival.switch and "yes" in rival.same else () if rival.switch else sorted(rival.same)
    if rival.waived:
        return f"{names} (passed over: {rival.waived})"
    met = " or ".join(f"`{value}`" for value in values)
    return f"{names} (passes: {met})" if met else names


def _quote(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.stdout.write(render())
