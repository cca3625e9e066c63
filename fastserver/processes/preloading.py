"""The template processes of a supervisor: one for each generation that preloads, started again where it dies."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from logging import Logger
from typing import Any

from fastserver.processes.generation import Generation
from fastserver.processes.parent import adopt_orphans
from fastserver.processes.template import Template
from fastserver.processes.workers import BACKOFF_LAST_S, get_backoff_s


class Preloading:
    """``make`` forks a template; ``fail`` is told that one could not load, and why: whether the generation is given up
    for it.  ``watch`` and ``unwatch`` are the supervisor's."""

    def __init__(
        self,
        log: Logger,
        watch: Callable[[Any, Callable[[], None]], None],
        unwatch: Callable[[Any], None],
        make: Callable[[Generation], Template],
        fail: Callable[[Generation, str, str], bool],
    ) -> None:
        self._log = log
        self._watch = watch
        self._unwatch = unwatch
        self._make = make
        self._fail = fail
        self._templates: dict[Generation, Template] = {}
        self._due: dict[Generation, float] = {}
        self._deaths = 0

    def prepare(self, generation: Generation) -> None:
        """Start the template of ``generation``, where it is to have one."""
        if not generation.config.preload:
            return
        if not adopt_orphans():
            self._fail(generation, "preload: the system does not let this process adopt orphans", "")
            return
        try:
            template = self._make(generation)
        except OSError as error:  # no process or descriptor for it
            if not self._fail(generation, f"preload: cannot fork: {error.strerror or error}", ""):
                self._due[generation] = time.monotonic() + BACKOFF_LAST_S
            return
        self._templates[generation] = generation.template = template
        self._watch(template, lambda: self._on_readable(template))

    def tick(self, now: float) -> float:
        """Start again what has died: when the next one is due."""
        for template in [each for each in self._templates.values() if each.has_ended]:
            self._on_end(template)
        for generation in [each for each, due in self._due.items() if due <= now]:
            del self._due[generation]
            self.prepare(generation)
        return min(self._due.values(), default=math.inf)

    def keep(self, generations: set[Generation]) -> None:
        """End the templates of all others."""
        for generation in [each for each in self._templates if each not in generations]:
            self._end(generation)
        self._due = {each: due for each, due in self._due.items() if each in generations}

    def shed(self) -> None:
        """In a child: close what leads to the templates."""
        for template in self._templates.values():
            template.sock.close()

    def note_exit(self, pid: int) -> None:
        """A child that is no worker is gone: perhaps a template, whose socket may have said so already."""
        for template in list(self._templates.values()):
            if template.pid == pid:
                self._on_readable(template)

    def _on_readable(self, template: Template) -> None:
        was_ready = template.is_ready
        template.receive()
        if template.is_ready:
            if not was_ready:
                self._deaths = 0
                self._log.info("template [%d] has loaded the application", template.pid)
            return
        if template.has_ended and self._templates.get(template.generation) is template:
            self._on_end(template)

    def _on_end(self, template: Template) -> None:
        generation = template.generation
        self._end(generation)
        if not self._fail(generation, template.reason, template.details):
            delay_s = get_backoff_s(self._deaths)
            self._deaths += 1
            self._due[generation] = time.monotonic() + delay_s
            when = f"in {delay_s:g} s" if delay_s else "now"
            self._log.error("template [%d]: %s; starting another %s", template.pid, template.reason, when)

    def _end(self, generation: Generation) -> None:
        template = self._templates.pop(generation)
        self._unwatch(template)
        template.close()
