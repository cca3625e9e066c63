"""Templates that load, fail and die, without a process."""

import logging
import math
from typing import Any

import pytest

from fastserver import Config
from fastserver.processes import preloading as module
from fastserver.processes.generation import Generation
from fastserver.processes.preloading import Preloading


class FakeTemplate:
    def __init__(self, generation: Generation, pid: int) -> None:
        self.generation = generation
        self.pid = pid
        self.is_ready = False
        self.has_ended = False
        self.is_closed = False
        self.reason = self.details = ""
        self.next = ""

    def receive(self) -> None:
        if self.next == "loaded":
            self.is_ready = True
        elif self.next:
            self.is_ready, self.has_ended, self.reason = False, True, self.next

    def close(self) -> None:
        self.is_closed = True


class Site:
    def __init__(self) -> None:
        self.made: list[FakeTemplate] = []
        self.watched: dict[Any, Any] = {}
        self.failures: list[str] = []
        self.is_given_up = False
        self.preloading = Preloading(
            logging.getLogger("test.preloading"), self.watched.__setitem__, self.watched.pop, self.make, self.fail
        )

    def make(self, generation: Generation) -> Any:
        self.made.append(FakeTemplate(generation, len(self.made) + 1))
        return self.made[-1]

    def fail(self, generation: Generation, reason: str, details: str) -> bool:
        self.failures.append(reason)
        return self.is_given_up

    def say(self, template: FakeTemplate, what: str) -> None:
        template.next = what
        self.watched[template]()


def make_generation(preload: bool = True) -> Generation:
    return Generation("no:app", Config(preload=preload), [], None)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(module, "adopt_orphans", lambda: True)
    return Site()


def test_only_who_asks_for_a_template_has_one(site: Site) -> None:
    plain, preloaded = make_generation(False), make_generation()
    site.preloading.prepare(plain)
    site.preloading.prepare(preloaded)
    assert plain.template is None
    assert preloaded.template is site.made[0]  # type: ignore[comparison-overlap]
    assert not preloaded.is_loaded
    site.say(site.made[0], "loaded")
    assert preloaded.is_loaded
    assert site.preloading.tick(0.0) == math.inf


def test_one_that_dies_is_started_again_ever_later(site: Site) -> None:
    generation = make_generation()
    site.preloading.prepare(generation)
    for count in range(1, 4):
        template = site.made[-1]
        site.say(template, "has died")
        assert template.is_closed
        assert site.watched == {}
        due = site.preloading.tick(0.0)
        assert len(site.made) == count
        assert site.preloading.tick(due) == math.inf
        assert generation.template is site.made[-1]  # type: ignore[comparison-overlap]
    assert site.failures == ["has died"] * 3


def test_one_that_is_given_up_stays_away(site: Site) -> None:
    site.is_given_up = True
    site.preloading.prepare(make_generation())
    site.say(site.made[0], "a syntax error")
    assert site.failures == ["a syntax error"]
    assert site.preloading.tick(1e9) == math.inf
    assert len(site.made) == 1


def test_one_that_does_not_answer_is_noticed_without_a_word(site: Site) -> None:
    site.preloading.prepare(make_generation())
    site.made[0].has_ended = True
    site.preloading.tick(0.0)
    assert site.made[0].is_closed
    assert len(site.failures) == 1


def test_what_is_not_needed_any_more_ends(site: Site) -> None:
    one, other = make_generation(), make_generation()
    for generation in (one, other):
        site.preloading.prepare(generation)
    site.preloading.keep({other})
    assert [template.is_closed for template in site.made] == [True, False]
    site.say(site.made[1], "has died")
    site.preloading.keep(set())
    assert site.preloading.tick(1e9) == math.inf
    assert len(site.made) == 2


def test_a_child_that_has_ended_may_be_a_template(site: Site) -> None:
    site.preloading.prepare(make_generation())
    site.preloading.note_exit(99)
    site.made[0].next = "has died"
    site.preloading.note_exit(1)
    assert site.failures == ["has died"]


def test_without_orphans_to_adopt_there_is_no_template(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "adopt_orphans", lambda: False)
    site.preloading.prepare(make_generation())
    assert site.made == []
    assert "does not let this process adopt orphans" in site.failures[0]


def test_a_fork_that_fails_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = make_generation()

    def refuse(generation: Generation) -> Any:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(site.preloading, "_make", refuse)
    site.preloading.prepare(generation)
    assert site.failures == ["preload: cannot fork: Resource temporarily unavailable"]
    monkeypatch.setattr(site.preloading, "_make", site.make)
    site.preloading.tick(site.preloading.tick(0.0))
    assert len(site.made) == 1
