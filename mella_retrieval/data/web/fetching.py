"""Fetching many URLs: what strangers' servers may do is bounded, what they ask for is heeded, what fails is said.

Every request, a redirect too, is one turn of its host (`pace`); between turns a URL waits in a queue, not in a thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from mella_retrieval.data.downloads import LONGEST_PAUSE, Patience, TryAgain
from mella_retrieval.data.web.addresses import Location, NoAnswer, Refused, UnknownHost, locate
from mella_retrieval.data.web.asking import Asker, Fetched, Visit
from mella_retrieval.data.web.hosts import Hosts
from mella_retrieval.data.web.options import FetchOptions
from mella_retrieval.data.web.pace import Clock, Pace

__all__ = ["PICTURES", "Failed", "FetchOptions", "Fetched", "Fetcher", "Result"]

T = TypeVar("T")

PICTURES = ("image/", "application/octet-stream", "binary/octet-stream")
"""Content types of pictures; storage services call everything an octet stream, and the first bytes decide in any case."""

_AHEAD = 4
_LEAVING = 1.0


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a URL gave nothing; `reason` is counted by its part before the first colon, `passing` if it may be better later."""

    url: str
    reason: str
    passing: bool = False


Result = Fetched | Failed


@dataclass(slots=True, eq=False)
class _Task:
    """A visit, what becomes of its result (still in the thread that fetched it), who waits for that, and failed attempts."""

    visit: Visit
    then: Callable[[Result], Any]
    future: Future[Any] = field(default_factory=Future)
    failures: int = 0


class Fetcher:
    """Fetches URLs with a few threads. To be used in a `with` block, from as many threads as you like."""

    def __init__(self, options: FetchOptions, types: tuple[str, ...] = (), *, clock: Clock | None = None) -> None:
        """Args:
        options: how the web is asked.
        types: accepted content types by their beginnings, () for all; a response without a type passes. With pictures among
            them, the content must begin as a picture does.
        clock: time for the pace of hosts.
        """
        self._options, self._clock = options, clock or Clock()
        self._patience = Patience(options.attempts, options.pause, options.timeout)
        self._pace: Pace[_Task] = Pace(options.per_host, options.at_once, self._clock)
        self._hosts = Hosts(options.host_failures, self._clock)
        self._asker = Asker(options, types, self._hold)
        self._changed = threading.Condition()  # its lock guards the pace and the hosts
        self._threads: list[threading.Thread] = []
        self._closed = False

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Break off what is under way; who still waits for a result gets `CancelledError`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            waiting = self._pace.empty()
        self._asker.close()
        for task in waiting:
            task.future.cancel()
        end = time.monotonic() + _LEAVING
        for thread in self._threads:  # one that waits for a name server cannot be woken, and will find nothing more to do
            thread.join(max(end - time.monotonic(), 0.0))

    def fetch(self, url: str) -> Result:
        """Fetch one URL; whatever the web does becomes a `Failed`."""
        result: Result = self._submit(url, _as_it_is).result()
        return result

    def fetch_all(self, urls: Iterable[str], ahead: int = 0) -> Iterator[Result]:
        """Fetch URLs; the results come in the order of the URLs.

        Args:
            urls: read as far ahead as needed.
            ahead: results that may be waiting in memory for an earlier one; by default four times the threads.
        """
        waiting: deque[Future[Any]] = deque()
        try:
            for url in urls:
                waiting.append(self._submit(url, _as_it_is))
                if len(waiting) >= (ahead or _AHEAD * self._options.threads):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def fetch_each(self, urls: Iterable[str], then: Callable[[Result], T], ahead: int = 20_000) -> Iterator[T]:
        """Fetch URLs; what `then` makes of each result comes as soon as it is there, in any order.

        Args:
            urls: read as far ahead as needed.
            then: called in the thread that fetched; what it raises is raised here.
            ahead: URLs that may wait for their hosts; what `then` gives for them should be small.
        """
        waiting: set[Future[T]] = set()
        done: queue.SimpleQueue[Future[T]] = queue.SimpleQueue()
        try:
            for url in urls:
                future = self._submit(url, then)
                waiting.add(future)
                future.add_done_callback(done.put)
                while len(waiting) >= ahead or not done.empty():
                    yield _taken(done, waiting)
            while waiting:
                yield _taken(done, waiting)
        finally:
            for future in waiting:
                future.cancel()

    def _submit(self, url: str, then: Callable[[Result], T]) -> Future[T]:
        ended: Failed | None
        try:
            task = _Task(Visit(url, locate(url), self._options.deadline), then)
        except Refused as refused:
            task, ended = _Task(Visit(url, Location("", "", 0, ""), 0.0), then), Failed(url, str(refused))
        else:
            with self._changed:
                if self._closed:
                    raise RuntimeError("the fetcher was closed")
                ended = self._queue(task)
                if len(self._threads) < self._options.threads:
                    self._threads.append(threading.Thread(target=self._work, daemon=True))
                    self._threads[-1].start()
        if ended is not None:
            _end(task, ended)
        return task.future

    def _queue(self, task: _Task, delay: float | None = None) -> Failed | None:
        """Let a task wait for its host's turn; gives the failure if the host is not asked any more. The lock is held."""
        host = task.visit.location.host
        if closed := self._hosts.closed(host):
            return Failed(task.visit.url, closed, passing=True)
        if delay is None:
            self._pace.put(host, task)
        else:
            self._pace.put_back(host, task, delay)
        self._changed.notify()
        return None

    def _work(self) -> None:
        """Make requests until the fetcher is closed."""
        while (taken := self._next()) is not None:
            host, task = taken
            outcome: Fetched | Location | Exception
            try:
                outcome = Refused("cancelled") if task.future.cancelled() else self._asker.ask(task.visit)
            except Exception as error:
                outcome = error
            with self._changed:
                if self._closed:
                    task.future.cancel()
                    return
                self._pace.done(host)
                ended = {task: self._judge(task, host, outcome)}
                if closed := self._hosts.closed(host):
                    ended |= {other: Failed(other.visit.url, closed, passing=True) for other in self._pace.drop(host)}
                self._changed.notify()
            for other, result in ended.items():
                if result is not None:
                    _end(other, result)

    def _next(self) -> tuple[str, _Task] | None:
        with self._changed:
            while not self._closed:
                if (taken := self._pace.take()) is not None:
                    self._changed.notify()  # somebody else has to wait for the next turn now
                    return taken
                self._clock.wait(self._changed, self._pace.wait())
        return None

    def _judge(self, task: _Task, host: str, outcome: Fetched | Location | Exception) -> Result | Exception | None:
        """What becomes of a task after a request: its result, or None if it waits for another turn. The lock is held."""
        if isinstance(outcome, UnknownHost):
            self._hosts.close(host, str(outcome))
        elif not isinstance(outcome, NoAnswer):
            self._hosts.answered(host)
        if isinstance(outcome, Location):
            task.visit.location = outcome
            return self._queue(task)
        if isinstance(outcome, TryAgain):
            return self._again(task, host, outcome)
        if isinstance(outcome, Refused):  # a name that is unknown now may only be unreachable
            return Failed(task.visit.url, _reason(task.visit, outcome), passing=isinstance(outcome, UnknownHost))
        return outcome

    def _again(self, task: _Task, host: str, again: TryAgain) -> Failed | None:
        failure = Failed(task.visit.url, _reason(task.visit, again), passing=True)
        task.failures += 1
        if again.after > LONGEST_PAUSE:  # nobody waits so long; neither do the other URLs of this host
            reason = f"busy: {host} asks to wait {again.after:.0f} s"
            self._hosts.close(host, reason, again.after)
            return failure
        delay = self._patience.before_next(task.failures, again.after)
        if again.after:
            self._pace.hold(host, delay)
        if task.failures < self._options.attempts and task.visit.left:
            return self._queue(task, delay)
        if isinstance(again, NoAnswer):
            self._hosts.failed(host, failure.reason)
        return failure

    def _hold(self, host: str, seconds: float) -> None:
        with self._changed:
            self._pace.hold(host, seconds)


def _reason(visit: Visit, error: Exception) -> str:
    return f"{error} (redirected to {visit.location.url[:200]})" if visit.seen else str(error)


def _as_it_is(result: Result) -> Result:
    return result


def _end(task: _Task, result: Result | Exception) -> None:
    """Hand over a result, unless nobody waits for it any more."""
    if not task.future.set_running_or_notify_cancel():
        return
    try:
        if isinstance(result, Exception):
            raise result
        task.future.set_result(task.then(result))
    except BaseException as error:
        task.future.set_exception(error)


def _taken(done: queue.SimpleQueue[Future[T]], waiting: set[Future[T]]) -> T:
    future = done.get()
    waiting.discard(future)
    return future.result()
