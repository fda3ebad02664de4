"""Many URLs: their order, the pace of hosts, hosts in trouble, mistakes and endings."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor

import bad_server
import pytest
from bad_server import Talk, Web, answer, png, redirect
from clocks import StillClock

from mella_retrieval.data.web import addresses, fetching
from mella_retrieval.data.web.fetching import PICTURES, Failed, Fetched, Fetcher, FetchOptions, Result
from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import build_config

Options = Callable[..., FetchOptions]
PNG = png()
PAGE = answer(PNG, content_type="image/png")


def reason(result: Result) -> str:
    assert isinstance(result, Failed)
    return result.reason


def then_set(event: threading.Event, urls: Sequence[str]) -> Iterator[str]:
    """The URLs; the event is set when the last of them waits for its turn."""
    yield from urls
    event.set()


# In which order, and how fast -------------------------------------------------------------------------------------------


def test_results_come_in_order_and_urls_are_read_as_needed(web: Web, hurried: Options):
    gate = threading.Event()

    def first(talk: Talk) -> None:
        gate.wait(5)
        talk.send(PAGE)

    web.pages |= {"/0": first, **{f"/{number}": PAGE for number in range(1, 40)}}
    read: list[str] = []

    def urls() -> Iterator[str]:
        for number in range(40):
            read.append(f"/{number}")
            if number == 7:
                gate.set()
            yield web.url(f"/{number}")

    with Fetcher(hurried(timeout=5, deadline=5), PICTURES) as fetcher:
        results = fetcher.fetch_all(urls(), ahead=8)
        assert next(results).url == web.url("/0")
        assert len(read) == 8
        assert [result.url for result in results] == [web.url(f"/{number}") for number in range(1, 40)]


def test_a_slow_host_holds_nobody_up(web: Web, hurried: Options):
    """More URLs of the slow host than threads come first; all of the fast one are done before one of them is."""
    gate = threading.Event()

    def slow(talk: Talk) -> None:
        gate.wait(5)
        talk.send(PAGE)

    web.pages |= {"/slow": slow, "/fast": PAGE}
    urls = [web.url("/slow", "slow.example")] * 9 + [web.url("/fast", "fast.example")] * 20
    order = []
    with Fetcher(hurried(threads=3, at_once=2, timeout=5, deadline=5), PICTURES) as fetcher:
        for url in fetcher.fetch_each(urls, lambda result: result.url):
            order.append(url)
            if len(order) == 20:
                gate.set()
    assert order == [web.url("/fast", "fast.example")] * 20 + [web.url("/slow", "slow.example")] * 9


def test_requests_keep_the_pace_of_each_host(web: Web, hurried: Options):
    clock, submitted = StillClock(), threading.Event()
    times: dict[str, list[float]] = {"a.example": [], "b.example": []}

    def page(talk: Talk) -> None:
        submitted.wait(5)
        times[talk.headers["host"].partition(":")[0]].append(clock.now())
        talk.send(redirect("/b") if talk.path == "/a" else PAGE)

    web.pages |= {"/a": page, "/b": page}
    urls = [web.url("/a", host) for host in ("a.example", "b.example") for _ in range(3)]
    with Fetcher(hurried(threads=1, per_host=4), PICTURES, clock=clock) as fetcher:
        assert all(isinstance(result, Fetched) for result in fetcher.fetch_all(then_set(submitted, urls), ahead=9))
    for asked in times.values():  # redirects are requests too
        assert asked == [number / 4 for number in range(6)]


def test_who_asks_to_wait_is_waited_for(web: Web, hurried: Options):
    clock, submitted = StillClock(), threading.Event()
    times: list[tuple[str, float]] = []

    def page(talk: Talk) -> None:
        submitted.wait(5)
        times.append((talk.path, clock.now()))
        talk.send(answer(status=429, retry_after="7") if len(times) == 1 else PAGE)

    web.pages |= {"/a": page, "/b": page}
    with Fetcher(hurried(threads=1, pause=1), PICTURES, clock=clock) as fetcher:
        urls = [web.url("/a"), web.url("/b"), web.url("/b", "other.example")]
        results = list(fetcher.fetch_all(then_set(submitted, urls), ahead=9))
    assert all(isinstance(result, Fetched) for result in results)
    assert times == [("/a", 0.0), ("/b", 0.0), ("/a", 7.0), ("/b", 7.0)]


def test_pauses_become_longer(web: Web, hurried: Options):
    clock = StillClock()
    times: list[float] = []

    def page(talk: Talk) -> None:
        times.append(clock.now())
        talk.send(answer(status=500))

    web.pages["/a"] = page
    with Fetcher(hurried(threads=1, pause=1, attempts=4), clock=clock) as fetcher:
        fetcher.fetch(web.url("/a"))
    assert times == [0, 1, 3, 7]


def test_a_host_that_asks_for_an_hour_is_left_alone(web: Web, hurried: Options):
    web.pages["/a"] = answer(status=503, retry_after="3600")
    with Fetcher(hurried(threads=1, pause=1)) as fetcher:
        results = list(fetcher.fetch_all([web.url("/a")] * 5))
    assert len(web.requests) == 1
    assert results[0] == Failed(web.url("/a"), "server error: 503", passing=True)
    assert results[1:] == [Failed(web.url("/a"), "busy: 127.0.0.1 asks to wait 3600 s", passing=True)] * 4


def test_a_host_that_never_answers_is_given_up(web: Web, hurried: Options):
    web.pages["/a"] = bad_server.hang_up
    with Fetcher(hurried(threads=1, host_failures=3)) as fetcher:
        results = list(fetcher.fetch_all([web.url("/a")] * 9))
    assert len(web.requests) == 2 * 3
    assert [reason(result).partition(":")[0] for result in results] == ["broken connection"] * 3 + ["host given up"] * 6
    assert all(result.passing for result in results)


def test_a_host_that_answers_in_between_is_not(web: Web, hurried: Options):
    web.pages["/a"] = bad_server.hang_up
    with Fetcher(hurried(threads=1, host_failures=2, attempts=1)) as fetcher:
        results = list(fetcher.fetch_all([web.url("/a"), web.url("/missing")] * 4))
    assert {reason(result).partition(":")[0] for result in results} == {"broken connection", "dead link"}


def test_a_name_that_does_not_exist_is_asked_for_once(web: Web, hurried: Options, monkeypatch):
    asked: list[str] = []

    def ask(host: str) -> list[str]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(addresses, "ask_dns", ask)
    with Fetcher(hurried(threads=1)) as fetcher:
        results = list(fetcher.fetch_all([f"http://gone.example/{number}" for number in range(5)]))
    assert asked == ["gone.example"]
    assert results == [Failed(result.url, "unknown host: gone.example", passing=True) for result in results]


# Mistakes and endings --------------------------------------------------------------------------------------------------


def test_what_the_caller_does_wrong_is_raised_to_him(web: Web, hurried: Options):
    web.pages["/a"] = PAGE
    with Fetcher(hurried()) as fetcher, pytest.raises(ZeroDivisionError):
        list(fetcher.fetch_each([web.url("/a")], lambda result: 1 // 0))


def test_who_has_enough_stops(web: Web, hurried: Options):
    web.pages["/a"] = PAGE
    with Fetcher(hurried(threads=1)) as fetcher:
        assert len(list(itertools.islice(fetcher.fetch_all(web.url("/a") for _ in itertools.count()), 5))) == 5
    assert len(web.requests) < 12


def test_the_end_breaks_off_what_is_under_way(web: Web, hurried: Options):
    begun = threading.Event()

    def page(talk: Talk) -> None:
        begun.set()
        talk.web.stopping.wait(5)

    web.pages["/a"] = page
    with ThreadPoolExecutor(2) as pool:
        with Fetcher(hurried(threads=1, timeout=60, deadline=60)) as fetcher:
            waiting = [pool.submit(fetcher.fetch, web.url("/a")) for _ in range(2)]
            begun.wait(5)
        for future in waiting:
            with pytest.raises(CancelledError):
                future.result(5)
    with pytest.raises(RuntimeError, match="closed"):
        fetcher.fetch(web.url("/a"))


def test_the_end_does_not_wait_for_a_name_server(web: Web, hurried: Options, monkeypatch):
    asked, answering = threading.Event(), threading.Event()

    def ask(host: str) -> list[str]:
        asked.set()
        answering.wait(5)
        return ["127.0.0.1"]

    monkeypatch.setattr(addresses, "ask_dns", ask)
    monkeypatch.setattr(fetching, "_LEAVING", 0.01)
    with ThreadPoolExecutor(1) as pool:
        with Fetcher(hurried(timeout=60, deadline=60)) as fetcher:
            waiting = pool.submit(fetcher.fetch, web.url("/a", "a.example"))
            asked.wait(5)
        assert not answering.is_set()
        answering.set()
        with pytest.raises(CancelledError):
            waiting.result(5)


def test_options_are_checked():
    with pytest.raises(ConfigError, match=r"per_hosts.*Did you mean 'per_host'"):
        build_config(FetchOptions, {"per_hosts": 1}, "the options")
    for wrong in ({"threads": 0}, {"per_host": -1}, {"timeout": 0}, {"user_agent": "a\r\nb: c"}, {"user_agent": "mé"}):
        with pytest.raises(ConfigError):
            build_config(FetchOptions, wrong, "the options")
