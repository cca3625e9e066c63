"""The verdict on one server under one fault: criteria that hold or not, and figures."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Word(Enum):
    PASS = "pass"
    FAIL = "FAIL"
    LACKING = "n/a"  # the server has no such feature
    SKIPPED = "skipped"  # this machine cannot make the fault
    ERROR = "error"  # the rig itself failed


class Skip(Exception):
    """The fault cannot be made here; the text says what is missing."""


@dataclass(slots=True)
class Verdict:
    """``brief`` goes into the table where it did not pass; ``reasons`` are the criteria that did not hold."""

    fault: str
    server: str
    word: Word = Word.PASS
    brief: str = ""
    reasons: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    evidence: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def check(self, holds: bool, reason: str, brief: str = "") -> bool:
        """A criterion: where it does not hold, ``reason`` says what was found instead."""
        if not holds:
            if self.word is not Word.FAIL:
                self.word = Word.FAIL
                self.brief = brief or reason
            self.reasons.append(reason)
        return holds

    def lack(self, what: str) -> None:
        """The server has no such feature."""
        self.word, self.brief = Word.LACKING, what

    def show(self, lines: list[str], limit: int = 12) -> None:
        """Keep some evidence."""
        self.evidence += lines[: max(0, limit - len(self.evidence))]

    def add(self, **figures: float) -> None:
        """Add to figures that are sums."""
        for name, value in figures.items():
            self.figures[name] = self.figures.get(name, 0) + value

    def as_dict(self) -> dict[str, Any]:
        return {
            "fault": self.fault,
            "server": self.server,
            "verdict": self.word.value,
            "brief": self.brief,
            "reasons": self.reasons,
            "figures": self.figures,
            "evidence": self.evidence,
            "seconds": round(self.seconds, 1),
        }
