"""Hosts that are not asked any more: gone, silent too often, or busy for longer than anybody would wait."""

from __future__ import annotations

from collections import OrderedDict

from mella_retrieval.data.web.pace import Clock

_REMEMBERED = 10_000


class Hosts:
    """What experience says about hosts. Not thread-safe: the user holds a lock."""

    def __init__(self, most_failures: int, clock: Clock) -> None:
        """Args:
        most_failures: URLs in a row without an answer after which a host is given up.
        clock: where time comes from.
        """
        self._most, self._clock = most_failures, clock
        self._failures: OrderedDict[str, int] = OrderedDict()
        self._closed: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def closed(self, host: str) -> str:
        """Why a host is not asked, "" if it may be."""
        until, reason = self._closed.get(host, (0.0, ""))
        if until > self._clock.now():
            return reason
        self._closed.pop(host, None)
        return ""

    def close(self, host: str, reason: str, seconds: float = float("inf")) -> None:
        """Ask a host no more, or not for some time."""
        self._closed[host] = (self._clock.now() + seconds, reason)
        if len(self._closed) > _REMEMBERED:
            self._closed.popitem(last=False)

    def answered(self, host: str) -> None:
        """The host has given an answer, of whatever kind."""
        self._failures.pop(host, None)

    def failed(self, host: str, reason: str) -> None:
        """All attempts at a URL ended without an answer; after too many of them in a row the host is given up."""
        failures = self._failures.pop(host, 0) + 1
        if failures >= self._most:
            self.close(host, f"host given up: {failures} URLs in a row without an answer, the last: {reason}")
            return
        self._failures[host] = failures
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)
