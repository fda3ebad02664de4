"""What sites ask of robots: robots.txt as RFC 9309 describes it (and Crawl-delay), and the header X-Robots-Tag."""

from __future__ import annotations

import http.client
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from mella_retrieval.data.downloads import LONGEST_PAUSE, TRANSIENT, TryAgain, retry_after
from mella_retrieval.data.web.addresses import Location, NoAnswer, Refused, quoted
from mella_retrieval.data.web.connecting import MAX_REDIRECTS, redirected
from mella_retrieval.data.web.reading import read_body

MAX_BYTES = 500 * 1024
"""What is read of a robots.txt; the RFC asks for no more."""

_REMEMBERED = 10_000
_NO_AI = frozenset({"noai", "noimageai"})
_WITH_VALUE = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})

Get = Callable[[Location], AbstractContextManager[http.client.HTTPResponse]]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a robots.txt says to one robot.

    Attributes:
        patterns: path patterns and whether each allows or forbids.
        delay: seconds between requests that it asks for.
    """

    patterns: tuple[tuple[str, bool], ...] = ()
    delay: float = 0.0

    def forbidding(self, target: str) -> str:
        """The pattern that forbids a path with its query, "" if it is allowed: the longest counts, allowing wins a tie."""
        matching = [(len(pattern), allows, pattern) for pattern, allows in self.patterns if _matches(pattern, target)]
        _, allows, pattern = max(matching, default=(0, True, ""))
        return "" if allows else pattern


def parse_robots(text: str, robot: str) -> Rules:
    """The rules of a robots.txt for a robot (its product name, such as `mella-retrieval`): its own, else those for all."""
    own, common = _Group(), _Group()
    chosen: list[_Group] = []
    in_head, found = False, False
    for key, value in _lines(text):
        if key == "user-agent":
            name = value.partition("/")[0].strip().lower()
            chosen = chosen if in_head else []
            chosen += [own] if name == robot.lower() else [common] if name == "*" else []
            found = found or name == robot.lower()
            in_head = True
        elif key in {"allow", "disallow", "crawl-delay"}:
            in_head = False
            for group in chosen:
                group.add(key, value)
    return (own if found else common).rules()


@dataclass
class _Group:
    patterns: list[tuple[str, bool]] = field(default_factory=list)
    delay: float = 0.0

    def add(self, key: str, value: str) -> None:
        if key == "crawl-delay":
            self.delay = float(value) if value.isascii() and value.replace(".", "", 1).isdecimal() else self.delay
        elif value:  # `Disallow:` alone forbids nothing
            self.patterns.append((quoted(value), key == "allow"))

    def rules(self) -> Rules:
        return Rules(tuple(self.patterns), min(self.delay, LONGEST_PAUSE))


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.removeprefix("\ufeff").splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        if colon:
            yield key.strip().lower(), value.strip()


def _matches(pattern: str, target: str) -> bool:
    """Whether a pattern with `*` and a closing `$` stands at the beginning of a path; in linear time, as no regex would be."""
    anchored = pattern.endswith("$")
    first, *others = pattern.removesuffix("$").split("*")
    if not target.startswith(first):
        return False
    if not others:
        return not anchored or len(target) == len(first)
    *middle, last = others
    place = len(first)
    for piece in middle:
        place = target.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    return target.endswith(last) and len(target) - len(last) >= place if anchored else target.find(last, place) >= 0


def refuse_tagged(headers: http.client.HTTPMessage, robot: str) -> None:
    """Heed `X-Robots-Tag: noai` and `noimageai`, for all robots or for this one.

    Raises:
        Refused: the site does not want its content in training data.
    """
    for value in headers.get_all("X-Robots-Tag", []):
        addressed = True
        for part in value.lower().split(","):
            name, colon, directive = (piece.strip() for piece in part.rpartition(":"))
            if colon and name not in _WITH_VALUE:  # "otherbot: noai, noindex" speaks to one robot to its end
                addressed = name in {robot.lower(), "*"}
            if addressed and directive in _NO_AI:
                raise Refused(f"forbidden by X-Robots-Tag: {directive}")


class Robots:
    """The rules of all sites; each robots.txt is read once. Safe to use from many threads."""

    def __init__(self, get: Get, robot: str, pause: float) -> None:
        """Args:
        get: makes one request.
        robot: product name of this robot.
        pause: seconds after which a robots.txt that could not be read is asked for again.
        """
        self._get, self._robot, self._pause = get, robot, pause
        self._known: OrderedDict[str, _Site] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, location: Location) -> float:
        """Whether a location may be asked for; gives the seconds that the site wants between requests.

        Raises:
            Refused: its robots.txt forbids it.
            NoAnswer: its robots.txt cannot be read now, and without it nothing is known to be allowed.
        """
        with self._lock:
            site = self._known.setdefault(location.origin, _Site(self._pause))
            self._known.move_to_end(location.origin)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        rules = site.rules(lambda: self._read(location))
        if pattern := rules.forbidding(location.target):
            raise Refused(f"forbidden by robots.txt: {pattern[:100]}")
        return rules.delay

    def _read(self, location: Location) -> Rules:
        """What cannot be had (4xx, a redirect to nowhere) forbids nothing; what the host fails to tell (5xx) is asked again."""
        place: Location | None = Location(location.scheme, location.host, location.port, "/robots.txt")
        try:
            for _ in range(MAX_REDIRECTS + 1):
                if place is None:
                    break
                with self._get(place) as response:
                    if response.status == http.client.OK:
                        text = read_body(response, MAX_BYTES, cut=True).decode("utf-8", "replace")
                        return parse_robots(text, self._robot)
                    if response.status in TRANSIENT or response.status >= 500:
                        raise NoAnswer(f"server error: {response.status} for its robots.txt", retry_after(response.headers))
                    place = redirected(place, response)
        except Refused:
            return Rules()
        except TryAgain as again:
            raise NoAnswer(str(again), again.after) from again
        return Rules()


class _Site:
    """The rules of one site: read by the first who asks, while the others wait."""

    def __init__(self, pause: float) -> None:
        self._lock, self._pause = threading.Lock(), pause
        self._rules: Rules | None = None
        self._failed: tuple[float, NoAnswer] | None = None

    def rules(self, read: Callable[[], Rules]) -> Rules:
        with self._lock:
            if self._failed is not None and time.monotonic() < self._failed[0]:
                raise NoAnswer(str(self._failed[1]), self._failed[1].after)
            if self._rules is None:
                try:
                    self._rules = read()
                except NoAnswer as failure:
                    self._failed = (time.monotonic() + self._pause / 2, failure)
                    raise
            return self._rules
