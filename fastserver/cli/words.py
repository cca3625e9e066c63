"""Command lines as other servers' users write them, before argparse sees them: names, words behind switches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from fastserver.cli.flags import UsageError
from fastserver.config.aliases import suggest
from fastserver.config.model import SETTINGS
from fastserver.config.setting import spell_flag
from fastserver.config.units import SWITCH_WORDS

#: The flags of switches that may be followed by a word, and the words of each.
_WORDED: Final[Mapping[str, frozenset[str]]] = {
    spell_flag(name): frozenset((*SWITCH_WORDS, *fact.spellings, *fact.planned, *fact.refused))
    for key, fact in SETTINGS.items()
    if fact.takes_word
    for name in (key, *fact.aliases)
}


def respell(argv: Sequence[str]) -> list[str]:
    """``argv`` with dashes for underscores in names, and hypercorn's old ``--access-log FILE`` as ``--access-logfile``.

    To uvicorn and to this server ``--access-log`` takes no value; so a value is one only where no application could be
    meant by it: ``-``, a path without a colon, a name that ends in ``.log``.  In the same way a switch such as ``--ws``
    takes the word after it only where it is one of its own; it then has its value behind ``=``, as it always has here.
    """
    tokens: list[str] = []
    worded = False  # whether the last token is such a switch, with a value that a word may still replace
    for token in argv:
        last, worded = tokens[-1].partition("=")[0] if worded else "", False
        if last and token.lower() in _WORDED[last]:
            tokens[-1] = f"{last}={token}"
            continue
        if tokens and tokens[-1] == "--access-log" and _is_log_file(token):
            tokens[-1] = f"--access-logfile={token}"
            continue
        if token.startswith("--"):
            name, equals, value = token.partition("=")
            name = name.replace("_", "-")
            if name in _WORDED and not equals:
                worded, equals, value = True, "=", "yes"
            token = ("--access-logfile" if name == "--access-log" and equals else name) + equals + value
        tokens.append(token)
    return tokens


def _is_log_file(token: str) -> bool:
    return token == "-" or (not token.startswith("-") and ":" not in token and ("/" in token or token.endswith(".log")))


def take_app(rest: Sequence[str], flags: Iterable[str]) -> str | None:
    """The one positional argument of what the parser left over, if there is one.  ``UsageError`` for all else."""
    for token in rest:
        if token.startswith("-") and token != "--":
            name = token.partition("=")[0]
            raise UsageError(f"there is no flag {name}{suggest(name, sorted(flags))}")
    words = [token for token in rest if token != "--"]
    if len(words) > 1:
        raise UsageError(f"only one application can be served: {words[0]!r} is given, then {words[1]!r}")
    return words[0] if words else None
