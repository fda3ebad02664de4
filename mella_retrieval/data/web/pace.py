"""The order in which hosts are asked: each at its pace, all in turn, so that a slow one holds up nobody else.

Pure bookkeeping with a clock that is handed in; the waiting is done by who uses it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

_FEW = 1000


class Clock:
    """Time as the fetcher sees it."""

    def now(self) -> float:
        """Seconds from any beginning; never goes back."""
        return time.monotonic()

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        """Wait (the condition is held) until something changed, at most so many seconds."""
        changed.wait(seconds)


@dataclass(slots=True)
class _Host(Generic[T]):
    queue: deque[T] = field(default_factory=deque)
    ready: float = 0.0
    active: int = 0
    listed: bool = False


class Pace(Generic[T]):
    """What waits to be asked, in one queue a host. Not thread-safe: the user holds a lock.

    Among the hosts that may be asked now, the one that could have been asked for the longest time comes first; at each turn a
    host gives one item. What is kept of a host is forgotten when nothing of it waits.
    """

    def __init__(self, per_host: float, at_once: int, clock: Clock | None = None) -> None:
        """Args:
        per_host: requests a second to one host, 0 for any number.
        at_once: requests to one host that may be under way at the same time.
        clock: where time comes from.
        """
        self._interval = 1 / per_host if per_host else 0.0
        self._at_once, self._clock = at_once, clock or Clock()
        self._hosts: dict[str, _Host[T]] = {}
        self._turns: list[tuple[float, int, str]] = []
        self._later: list[tuple[float, int, str, T]] = []
        self._number = itertools.count()
        self._sweep_at = _FEW

    def put(self, host: str, item: T) -> None:
        """Add an item at the end of its host's queue."""
        self._host(host).queue.append(item)
        self._list(host)

    def put_back(self, host: str, item: T, delay: float) -> None:
        """Add an item that was asked before: after so many seconds, and then at the beginning of its host's queue."""
        heappush(self._later, (self._clock.now() + delay, next(self._number), host, item))

    def take(self) -> tuple[str, T] | None:
        """The next item that may be asked now, with its host; `done` must follow."""
        now = self._clock.now()
        while self._later and self._later[0][0] <= now:
            _, _, name, item = heappop(self._later)
            self._host(name).queue.appendleft(item)
            self._list(name)
        while self._turns and self._turns[0][0] <= now:
            name = heappop(self._turns)[2]
            host = self._hosts[name]
            host.listed = False
            if host.ready <= now and host.queue:
                host.active += 1
                host.ready = now + self._interval
                item = host.queue.popleft()
                self._list(name)
                return name, item
            self._list(name)
        return None

    def done(self, host: str) -> None:
        """The request to this host has ended."""
        self._hosts[host].active -= 1
        self._list(host)

    def hold(self, host: str, seconds: float) -> None:
        """Let a host rest: nothing of it is given for so long."""
        found = self._host(host)
        found.ready = max(found.ready, self._clock.now() + seconds)

    def drop(self, host: str) -> list[T]:
        """Take away all that waits for a host."""
        waiting = [item for _, _, name, item in self._later if name == host]
        if waiting:
            self._later = sorted(entry for entry in self._later if entry[2] != host)
        if host in self._hosts:
            waiting += self._hosts[host].queue
            self._hosts[host].queue.clear()
        return waiting

    def empty(self) -> list[T]:
        """Take away all that waits."""
        names = {*self._hosts, *(name for _, _, name, _ in self._later)}
        return [item for name in names for item in self.drop(name)]

    def wait(self) -> float | None:
        """Seconds until `take` may give something; None if only `put` or `done` can change that."""
        times = [waiting[0][0] for waiting in (self._turns, self._later) if waiting]
        return max(min(times) - self._clock.now(), 0.0) if times else None

    def _host(self, name: str) -> _Host[T]:
        if name not in self._hosts:
            if len(self._hosts) >= self._sweep_at:
                self._sweep()
            self._hosts[name] = _Host()
        return self._hosts[name]

    def _list(self, name: str) -> None:
        """Give a host its place among the turns, if it has something to ask and may."""
        host = self._hosts[name]
        if host.queue and host.active < self._at_once and not host.listed:
            heappush(self._turns, (host.ready, next(self._number), name))
            host.listed = True

    def _sweep(self) -> None:
        now = self._clock.now()
        busy = {name: host for name, host in self._hosts.items() if host.queue or host.active or host.listed or host.ready > now}
        self._hosts, self._sweep_at = busy, 2 * len(busy) + _FEW
