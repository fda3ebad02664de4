from __future__ import annotations

import gzip
import socket
import tracemalloc
import zlib
from collections.abc import Callable
from types import SimpleNamespace

import bad_server
import pytest
from bad_server import Talk, Web, answer, bomb, png, redirect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mella_retrieval.data.web import addresses, connecting
from mella_retrieval.data.web.fetching import PICTURES, Failed, Fetched, Fetcher, FetchOptions, Result

Options = Callable[..., FetchOptions]
PNG = png()
PAGE = answer(PNG, content_type="image/png")


def fetch(web: Web, options: FetchOptions, path: str = "/a", types: tuple[str, ...] = PICTURES) -> Result:
    with Fetcher(options, types) as fetcher:
        return fetcher.fetch(web.url(path))


def reason(result: Result) -> str:
    assert isinstance(result, Failed)
    return result.reason


# What arrives ----------------------------------------------------------------------------------------------------------


def test_what_a_url_gives(web: Web, hurried: Options):
    web.pages["/a"] = answer(PNG, content_type="image/png; x=y", content_language="hu", server="bad")
    found = fetch(web, hurried(user_agent="tester/1.0 (me@example.org)"))
    assert isinstance(found, Fetched)
    assert (found.data, found.content_type, found.url, found.final_url) == (PNG, "image/png; x=y", *[web.url("/a")] * 2)
    assert found.headers["content-language"] == "hu"
    (asked,) = web.requests
    assert asked[1]["user-agent"] == "tester/1.0 (me@example.org)"
    assert asked[1]["accept-encoding"] == "identity"
    assert asked[1]["accept"].startswith("image/*, ")
    assert asked[1]["host"] == f"127.0.0.1:{web.port}"


@pytest.mark.parametrize(
    "page",
    [
        answer(PNG),
        answer(PNG, content_type="IMAGE/PNG"),
        answer(PNG, content_type="binary/octet-stream"),
        answer(PNG, 203, content_type="image/png"),
        answer(PNG, content_type="image/png", content_length=None),
        answer(PNG, content_type="image/png", content_length="many"),
        answer(gzip.compress(PNG), content_type="image/png", content_encoding="gzip"),
        answer(zlib.compress(PNG), content_type="image/png", content_encoding="deflate"),
        answer(
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(PNG), PNG), content_type="image/png", content_length=None, transfer_encoding="chunked"
        ),
        b"HTTP/1.1 100 Continue\r\n\r\n" + PAGE,
        b"HTTP/1.0 200\r\n\r\n" + PNG,
    ],
    ids=range(11),
)
def test_answers_that_are_a_little_odd(page: bytes, web: Web, hurried: Options):
    web.pages["/a"] = page
    found = fetch(web, hurried())
    assert isinstance(found, Fetched) and found.data == PNG


def test_any_type_where_none_is_asked_for(web: Web, hurried: Options):
    web.pages["/a"] = answer("szöveg".encode("iso-8859-2"), content_type="text/html; charset=iso-8859-2")
    found = fetch(web, hurried(), types=())
    assert isinstance(found, Fetched) and found.data == "szöveg".encode("iso-8859-2")


# What does not ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (bad_server.MISSING, "dead link: 404"),
        (answer(status=410), "dead link: 410"),
        (answer(status=403), "refused: 403"),
        (answer(status=401), "refused: 401"),
        (answer(status=204), "unexpected status: 204"),
        (answer(PNG, 206, content_type="image/png"), "unexpected status: 206"),
        (answer(status=304), "unexpected status: 304"),
        (answer(status=302), "unexpected status: 302"),
        (answer(b"", content_type="image/png"), "empty: 0 bytes"),
        (answer(PNG, content_type="text/plain"), "wrong type: text/plain"),
        (answer(b"<!doctype html><p>Sorry", content_type="image/jpeg"), "not a picture: it begins with b'<!doctype html><'"),
        (answer(b"<svg/>", content_type="image/svg+xml"), "not a picture: it begins with b'<svg/>'"),
        (answer(b"<html>" * 800, content_type="image/jpeg"), "not a picture: it begins with b'<html><html><htm'"),
        (answer(PNG, content_type="image/png", content_length=10_000), "too large: 10000 bytes, the limit is 5000"),
        (answer(PNG + b"x" * 5000, content_type="image/png", content_length=None), "too large: the limit is 5000 bytes"),
        (bad_server.endless, "too large: the limit is 5000 bytes"),
        (bad_server.endless_chunk, "too large: the limit is 5000 bytes"),
        (bomb(1_000_000), "too large: the limit is 5000 bytes"),
        (answer(b"\x1f\x8b\x08broken", content_type="image/png", content_encoding="gzip"), "broken encoding"),
        (answer(b"x", content_type="image/png", content_encoding="br"), "unknown encoding: br"),
        (redirect("file:///etc/passwd"), "not an address: file is not http or https, where it redirects to"),
        (redirect("http://0x7f.1/"), "not an address: 0x7f.1 is no IP address"),
        (redirect("http://[::1"), "not an address: "),
        (redirect("/a"), "redirect loop: back to http://127.0.0.1"),
    ],
)
def test_what_is_refused_at_once(page: bad_server.Step, expected: str, web: Web, hurried: Options):
    web.pages["/a"] = page
    failed = fetch(web, hurried(max_bytes=5000))
    assert reason(failed).startswith(expected)
    assert not failed.passing
    assert web.paths() == ["/a"]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (answer(status=500), "server error: 500"),
        (answer(status=503), "server error: 503"),
        (answer(status=408), "server error: 408"),
        (answer(status=429), "busy: 429"),
        (bad_server.stall, "timeout: nothing came for too long"),
        (bad_server.stall_in_the_middle, "timeout: nothing came for too long"),
        (bad_server.hang_up, "broken connection: "),
        (bad_server.reset, "broken connection: "),
        (b"nonsense\r\n\r\n", "broken connection: nonsense"),
        (b"HTTP/1.1 ?? OK\r\n\r\n", "broken connection: "),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "broken connection: got more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "broken connection: "),
        (answer(PNG, content_type="image/png", content_length=500), "cut short: "),
        (answer(gzip.compress(PNG)[:-9], content_type="image/png", content_encoding="gzip"), "cut short: "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGIF8", "broken connection: "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broken connection: "),
    ],
)
def test_what_may_pass_is_tried_again(page: bad_server.Step, expected: str, web: Web, hurried: Options):
    web.pages["/a"] = page
    failed = fetch(web, hurried(timeout=0.1 if "timeout" in expected else 2))
    assert reason(failed).startswith(expected)
    assert failed.passing
    assert len(web.requests) == 2


@pytest.mark.parametrize("failure", [answer(status=500), answer(status=429), bad_server.hang_up, bad_server.stall, PAGE[:-5]])
def test_what_has_passed_is_fetched(failure: bad_server.Step, web: Web, hurried: Options):
    web.pages["/a"] = [failure, PAGE]
    assert isinstance(fetch(web, hurried(timeout=0.1 if failure is bad_server.stall else 2, attempts=4)), Fetched)


def test_a_bomb_is_never_unpacked(web: Web, hurried: Options):
    web.pages["/a"] = bomb(30_000_000)
    with Fetcher(hurried(max_bytes=100_000), PICTURES) as fetcher:
        tracemalloc.start()
        try:
            failed = fetcher.fetch(web.url("/a"))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert reason(failed) == "too large: the limit is 100000 bytes"
    assert peak < 2_000_000


@pytest.mark.parametrize("page", [bad_server.drip, bad_server.drip_head])
def test_a_server_that_drips_is_left(page: bad_server.Step, web: Web, hurried: Options):
    web.pages["/a"] = page
    failed = fetch(web, hurried(attempts=9, max_bytes=1_000_000, deadline=0.2), types=())
    assert failed == Failed(web.url("/a"), "timeout: not complete in the time that is allowed", passing=True)
    assert web.paths() == ["/a"]


def test_nothing_listens(web: Web, hurried: Options):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with Fetcher(hurried()) as fetcher:
        assert fetcher.fetch(f"http://127.0.0.1:{port}/") == Failed(
            f"http://127.0.0.1:{port}/", "broken connection: Connection refused", passing=True
        )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]),
    st.lists(
        st.binary(max_size=20) | st.sampled_from([b"\r\n", b"Location: ", b"HTTP/1.1 302 \r\n", b"-1", b"Content-Length: -5"])
    ),
)
def test_any_bytes_are_an_answer_of_some_kind(web: Web, hurried: Options, head: bytes, rest: list[bytes]):
    web.pages["/a"] = head + b"".join(rest)
    with Fetcher(hurried(attempts=1, timeout=0.1)) as fetcher:
        assert isinstance(fetcher.fetch(web.url("/a")), Failed | Fetched)


# Where it leads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int, web: Web, hurried: Options):
    web.pages |= {"/a": redirect("b?x=1", status), "/b?x=1": redirect(web.url("/képek", "other.example")), "/k%C3%A9pek": PAGE}
    found = fetch(web, hurried())
    assert isinstance(found, Fetched)
    assert (found.url, found.final_url) == (web.url("/a"), web.url("/k%C3%A9pek", "other.example"))
    assert [headers["host"] for _, headers in web.requests] == [f"127.0.0.1:{web.port}"] * 2 + [f"other.example:{web.port}"]


def test_not_for_ever(web: Web, hurried: Options):
    web.pages |= {f"/{number}": redirect(f"/{number + 1}") for number in range(9)}
    assert reason(fetch(web, hurried(), "/0")).startswith("too many redirects: more than 5 (redirected to")
    assert web.paths() == [f"/{number}" for number in range(6)]


def test_loops_end(web: Web, hurried: Options):
    web.pages |= {"/a": redirect("/b"), "/b": redirect("/a")}
    assert reason(fetch(web, hurried())).startswith(f"redirect loop: back to {web.url('/a')}")
    assert web.paths() == ["/a", "/b"]


def test_the_time_is_that_of_all_redirects_together(web: Web, hurried: Options):
    def slow_redirect(talk: Talk) -> None:
        talk.web.stopping.wait(0.1)
        talk.send(redirect(f"{talk.path}x"))

    web.pages |= {f"/{'x' * number}": slow_redirect for number in range(6)}
    assert reason(fetch(web, hurried(deadline=0.25), "/")).startswith("timeout: ")
    assert len(web.requests) < 5


# Whom it asks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def connections(web: Web, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The IP addresses to which connections are made; the server stands at every one of them."""
    made: list[str] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        made.append(address[0])
        return socket.create_connection(("127.0.0.1", web.port), timeout)

    monkeypatch.setattr(connecting, "create_connection", connect)
    return made


def test_the_connection_goes_to_the_address_that_was_checked(web: Web, connections: list[str], hurried: Options, monkeypatch):
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]])
    monkeypatch.setattr(addresses, "ask_dns", lambda host: next(answers))
    monkeypatch.setattr(addresses, "_KNOWN_FOR", 0.0)
    web.pages |= {"/a": PAGE, "/b": PAGE}
    with Fetcher(hurried(allow_private=False)) as fetcher:
        assert isinstance(fetcher.fetch("http://rebinding.example/a"), Fetched)
        assert reason(fetcher.fetch("http://rebinding.example/b")).startswith("private address: 127.0.0.1")
    assert connections == ["93.184.216.34"]
    assert web.requests[0][1]["host"] == "rebinding.example"


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1/", "http://[::1]/", "http://inside.example/", "http://169.254.169.254/meta"]
)
def test_a_redirect_to_a_private_address_is_not_followed(target: str, web: Web, connections, hurried: Options, monkeypatch):
    known = {"outside.example": ["93.184.216.34"], "inside.example": ["93.184.216.34", "192.168.0.1"]}
    monkeypatch.setattr(addresses, "ask_dns", lambda host: known[host])
    web.pages["/a"] = redirect(target)
    with Fetcher(hurried(allow_private=False)) as fetcher:
        failed = fetcher.fetch("http://outside.example/a")
    assert reason(failed).startswith("private address: ") and "redirected to" in reason(failed)
    assert connections == ["93.184.216.34"]


def test_the_next_address_is_tried(web: Web, hurried: Options, monkeypatch):
    web.pages["/a"] = PAGE
    monkeypatch.setattr(addresses, "ask_dns", lambda host: ["127.0.0.2", "127.0.0.1"])
    with Fetcher(hurried()) as fetcher:  # the server listens on 127.0.0.1 alone
        assert isinstance(fetcher.fetch(web.url("/a", "two.example")), Fetched)


def test_from_https_to_http_is_no_way():
    response = SimpleNamespace(status=301, headers={"Location": "http://a.example/"})
    with pytest.raises(addresses.Refused, match=r"^insecure redirect: "):
        connecting.redirected(addresses.locate("https://a.example/"), response)
    response.headers = {"Location": "//b.example/"}
    assert connecting.redirected(addresses.locate("https://a.example/"), response).url == "https://b.example/"
