"""One request for a URL: what it gives, where it leads, or why it is refused."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from mella_retrieval.data.downloads import TRANSIENT, TryAgain, retry_after, user_agent
from mella_retrieval.data.web.addresses import Location, Refused
from mella_retrieval.data.web.connecting import MAX_REDIRECTS, Budget, Connector, redirected
from mella_retrieval.data.web.options import FetchOptions
from mella_retrieval.data.web.reading import look_for_picture, read_body
from mella_retrieval.data.web.robots import Robots, refuse_tagged

_WHOLE = frozenset({http.client.OK, http.client.NON_AUTHORITATIVE_INFORMATION})
_GONE = frozenset({http.client.NOT_FOUND, http.client.GONE})


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a URL gave.

    Attributes:
        url: as it was asked for.
        final_url: where redirects led.
        data: the content, unpacked, at least one byte.
        content_type: the header as it came, "" without one.
        headers: name in lower case -> value.
    """

    url: str
    final_url: str
    data: bytes
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Visit:
    """One URL on its way.

    Attributes:
        url: as it was asked for.
        location: what is to be asked next.
        left: seconds that requests may still take.
        seen: the addresses that redirected.
    """

    url: str
    location: Location
    left: float
    seen: list[str] = field(default_factory=list)


class Asker:
    """Makes requests as the options want them; safe to use from many threads."""

    def __init__(self, options: FetchOptions, types: tuple[str, ...], hold: Callable[[str, float], None]) -> None:
        """Args:
        options: how the web is asked.
        types: accepted content types by their beginnings, () for all; with pictures among them, the content is looked at too.
        hold: is told that a host wants so many seconds between requests.
        """
        self._options, self._types, self._hold = options, types, hold
        self._look = look_for_picture if any(kind.startswith("image/") for kind in types) else None
        agent = options.user_agent or user_agent()
        accepted = ", ".join([f"{kind}*" if kind.endswith("/") else kind for kind in types] + ["*/*;q=0.1"])
        self._headers = {"User-Agent": agent, "Accept": accepted, "Accept-Encoding": "identity"}
        self._robot = agent.partition("/")[0].partition(" ")[0]
        self._connector = Connector(options.allow_private, options.proxies)
        self._robots = Robots(self._get_robots, self._robot, options.pause) if options.robots else None

    def ask(self, visit: Visit) -> Fetched | Location:
        """Make one request (after one for the robots.txt of a site that was not met before).

        Returns:
            The content, or where to ask next.

        Raises:
            Refused: there is nothing to be had, now or later.
            TryAgain: what may pass by itself.
        """
        location, options = visit.location, self._options
        if self._robots is not None and (delay := self._robots.check(location)):
            self._hold(location.host, delay)
        budget = Budget(visit.left, options.timeout, options.max_bytes)
        try:
            with self._connector.get(location, self._headers, budget) as response:
                return self._redirected(visit, response) or self._receive(visit, response)
        finally:
            visit.left = budget.left

    def close(self) -> None:
        """Break off all requests that are under way."""
        self._connector.close()

    def _redirected(self, visit: Visit, response: http.client.HTTPResponse) -> Location | None:
        target = redirected(visit.location, response)
        if target is not None:
            visit.seen.append(visit.location.url)
            if target.url in visit.seen:
                raise Refused(f"redirect loop: back to {target.url[:200]}")
            if len(visit.seen) > MAX_REDIRECTS:
                raise Refused(f"too many redirects: more than {MAX_REDIRECTS}")
        return target

    def _receive(self, visit: Visit, response: http.client.HTTPResponse) -> Fetched:
        headers = response.headers
        _refuse_status(response.status, headers, self._options.pause)
        if self._robots is not None:
            refuse_tagged(headers, self._robot)
        content_type = headers.get("Content-Type", "").strip()
        kind = content_type.partition(";")[0].strip().lower()
        if kind and self._types and not kind.startswith(self._types):
            raise Refused(f"wrong type: {kind[:100]}")
        data = read_body(response, self._options.max_bytes, self._look)
        plain = {name.lower(): ", ".join(headers.get_all(name, [])) for name in headers}
        return Fetched(visit.url, visit.location.url, data, content_type, plain)

    def _get_robots(self, location: Location) -> AbstractContextManager[http.client.HTTPResponse]:
        budget = Budget(self._options.timeout, self._options.timeout, self._options.max_bytes)
        return self._connector.get(location, {**self._headers, "Accept": "text/plain, */*;q=0.1"}, budget)


def _refuse_status(status: int, headers: http.client.HTTPMessage, pause: float) -> None:
    """Whole content passes; the rest is refused, or to be tried again."""
    if status in _WHOLE:
        return
    if status == http.client.TOO_MANY_REQUESTS:
        raise TryAgain(f"busy: {status}", retry_after(headers) or pause)
    if status in TRANSIENT or status >= 500:
        raise TryAgain(f"server error: {status}", retry_after(headers))
    if status in _GONE:
        raise Refused(f"dead link: {status}")
    raise Refused(f"{'refused' if 400 <= status < 500 else 'unexpected status'}: {status}")
