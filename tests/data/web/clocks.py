"""Clocks that tests move."""

from __future__ import annotations

import threading

from mella_retrieval.data.web.pace import Clock


class StillClock(Clock):
    """Stands still until it is moved; who would wait moves it. For one thread that waits."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        if seconds is None:
            changed.wait()
        else:
            self.advance(seconds)
