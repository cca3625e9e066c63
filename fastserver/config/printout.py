"""``--print-config``: all settings as a ``fastserver.toml`` that says where each comes from.

Read back as a file it gives the same configuration.  What is a default is a comment in it, and so are secrets, which
are never shown, and objects, which no file can hold.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from fastserver.config.extension import ProtocolBinding
from fastserver.config.load import Loaded
from fastserver.config.model import DEFAULTS, SETTINGS
from fastserver.config.setting import Kind, Setting
from fastserver.config.topics.start import NOT_IN_FILES, START, START_DEFAULTS

_MASK: Final = '"***"'


def render(loaded: Loaded) -> str:
    """The text, with a line break at its end."""
    lines = ["# Settings of fastserver; what is a comment here has its default."]
    if loaded.file is not None:
        lines.append(f"# Read: {_comment(loaded.file)}")
    lines += ("", "# start")
    for key, fact in START.items():
        if key not in NOT_IN_FILES:
            lines += _render_setting(
                key, fact, getattr(loaded.start, key), loaded.origins.get(key), START_DEFAULTS[key]
            )
    group = ""
    for key, fact in SETTINGS.items():
        if fact.group != group:
            group = fact.group
            lines += ("", f"# {group}")
        lines += _render_setting(key, fact, getattr(loaded.config, key), loaded.origins.get(key), DEFAULTS[key])
    return "\n".join(lines) + "\n"


def render_toml(fact: Setting, value: Any) -> str | None:
    """``value`` of a setting as TOML has it; ``None`` where it cannot be written: nothing, or an object."""
    if value is None:
        return None
    if isinstance(value, tuple):
        items = [_name_item(item) for item in value]
        return None if None in items else f"[{', '.join(map(_quote, filter(None, items)))}]"
    if fact.kind is Kind.BOOL:
        return "true" if value else "false"
    text = fact.render(value)
    if fact.kind in (Kind.DURATION, Kind.SIZE, Kind.INT) and text.replace(".", "", 1).isdigit():
        return text
    return _quote(text)


def _render_setting(key: str, fact: Setting, value: Any, origin: str | None, default: Any) -> Iterator[str]:
    """The line of one setting."""
    if key == "env" and value:
        value = tuple(f"{item.partition('=')[0]}=***" for item in value)
        yield f"# {key} = {render_toml(fact, value)}  # {_comment(origin or '')}, values are not shown"
    elif fact.secret and value is not None:
        yield f"# {key} = {_MASK}  # {_comment(origin or '')}, not shown"
    elif value is None or value == () == default:
        yield f"# {key} =  # {_comment(origin) if origin else 'none'}"
    elif (text := render_toml(fact, value)) is None:
        yield f"# {key} =  # {_comment(origin or '')}, an object"
    elif origin is None:
        yield f"# {key} = {text}  # {'default' if value == default else 'follows from the others'}"
    else:
        yield f"{key} = {text}  # {_comment(origin)}"


def _name_item(item: object) -> str | None:
    """The text of one item of a list, ``None`` for an object."""
    if isinstance(item, ProtocolBinding):
        return f"{item.where}={item.handler}" if isinstance(item.handler, str) else None
    return item if isinstance(item, str) else None


def _quote(text: str) -> str:
    """A basic string of TOML: that of JSON, which leaves one control character as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """``text`` fit for a comment, which control characters must not end."""
    return "".join(character if character.isprintable() else "?" for character in text)
