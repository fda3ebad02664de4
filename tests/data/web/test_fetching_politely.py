"""robots.txt, tags, proxies and certificates: what the fetcher does beside the request for the URL itself."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import bad_server
import pytest
from bad_server import Talk, Web, answer, png, redirect, serving
from clocks import StillClock

from mella_retrieval.data.web.fetching import PICTURES, Failed, Fetched, Fetcher, FetchOptions, Result
from mella_retrieval.errors import ConfigError

Options = Callable[..., FetchOptions]
PAGE = answer(png(), content_type="image/png")
CLOSED = answer(b"User-agent: *\nDisallow: /private\n", content_type="text/plain")


def fetch(web: Web, options: FetchOptions, *paths: str) -> list[Result]:
    with Fetcher(options, PICTURES) as fetcher:
        return list(fetcher.fetch_all(map(web.url, paths)))


def test_robots_txt_is_read_once_and_heeded(web: Web, hurried: Options):
    web.pages |= {"/robots.txt": CLOSED, "/a": PAGE, "/private/a": PAGE}
    results = fetch(web, hurried(robots=True), "/a", "/private/a", "/a")
    assert [isinstance(result, Fetched) for result in results] == [True, False, True]
    assert results[1] == Failed(web.url("/private/a"), "forbidden by robots.txt: /private")
    assert sorted(web.paths()) == ["/a", "/a", "/robots.txt"]


def test_robots_txt_speaks_to_the_name_that_is_given(web: Web, hurried: Options):
    web.pages |= {"/robots.txt": answer(b"User-agent: tester\nDisallow: /"), "/a": PAGE}
    assert isinstance(fetch(web, hurried(robots=True), "/a")[0], Fetched)
    assert isinstance(fetch(web, hurried(robots=True, user_agent="Tester/2 (me)"), "/a")[0], Failed)


def test_each_host_on_the_way_is_asked(web: Web, hurried: Options):
    web.pages |= {"/robots.txt": CLOSED, "/a": redirect(web.url("/private/b", "other.example")), "/private/b": PAGE}
    (failed,) = fetch(web, hurried(robots=True), "/a")
    assert failed.reason.startswith("forbidden by robots.txt: /private (redirected to")
    assert sorted(web.paths()) == ["/a", "/robots.txt", "/robots.txt"]


@pytest.mark.parametrize(
    "robots",
    [
        bad_server.MISSING,
        answer(status=403),
        answer(b""),
        answer(b"\xff\xfe\x00nonsense"),
        redirect("/robots.txt"),
        redirect("file:///etc/passwd"),
        redirect("/elsewhere"),
        answer(b"x" * 2_000_000),
    ],
)
def test_without_rules_all_is_allowed(robots: bytes, web: Web, hurried: Options):
    web.pages |= {"/robots.txt": robots, "/a": PAGE}
    assert isinstance(fetch(web, hurried(robots=True), "/a")[0], Fetched)


@pytest.mark.parametrize(
    ("robots", "expected"),
    [
        (answer(status=503), "server error: 503 for its robots.txt"),
        (bad_server.stall, "timeout: "),
        (bad_server.hang_up, "broken connection: "),
        (CLOSED[:-3], "cut short: "),
    ],
)
def test_rules_that_cannot_be_read_forbid_all_for_now(robots: bad_server.Step, expected: str, web: Web, hurried: Options):
    web.pages |= {"/robots.txt": robots, "/a": PAGE}
    options = hurried(robots=True, timeout=0.1 if robots is bad_server.stall else 2)
    (failed,) = fetch(web, options, "/a")
    assert failed.reason.startswith(expected) and failed.passing
    assert web.paths() == ["/robots.txt"] * 2
    web.pages["/robots.txt"] = [robots, CLOSED]
    assert isinstance(fetch(web, options, "/a")[0], Fetched)


def test_the_delay_that_a_site_asks_for(web: Web, hurried: Options):
    clock = StillClock()
    times: list[float] = []

    def page(talk: Talk) -> None:
        times.append(clock.now())
        talk.send(PAGE)

    web.pages |= {"/robots.txt": answer(b"User-agent: *\nCrawl-delay: 10"), "/a": page}
    with Fetcher(hurried(robots=True, threads=1), clock=clock) as fetcher:
        assert all(isinstance(result, Fetched) for result in fetcher.fetch_all([web.url("/a")] * 3))
    assert times == [0, 10, 20]


def test_tags_against_training_are_heeded(web: Web, hurried: Options):
    web.pages |= {"/a": answer(png(), content_type="image/png", x_robots_tag="noimageai")}
    assert fetch(web, hurried(robots=True), "/a")[0] == Failed(web.url("/a"), "forbidden by X-Robots-Tag: noimageai")
    assert isinstance(fetch(web, hurried(robots=False), "/a")[0], Fetched)


# Proxies ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:secret%21@127.0.0.1:{web.port}")
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("no_proxy", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    return web


def test_proxies_are_used_where_that_is_wanted(proxy: Web, hurried: Options):
    proxy.pages |= {"http://far.example/a": PAGE, "/a": PAGE}
    with Fetcher(hurried(proxies=True, allow_private=False), PICTURES) as fetcher:
        assert isinstance(fetcher.fetch("http://far.example/a"), Fetched)
        failed = [fetcher.fetch(f"http://{host}/a") for host in ("127.0.0.1", "[::1]", "localhost")]
    assert {result.reason.partition(":")[0] for result in failed} == {"private address"}
    ((path, headers),) = proxy.requests
    assert (path, headers["host"]) == ("http://far.example/a", "far.example")
    assert headers["proxy-authorization"] == "Basic bWU6c2VjcmV0IQ=="
    with Fetcher(hurried(), PICTURES) as fetcher:
        assert isinstance(fetcher.fetch(proxy.url("/a")), Fetched)


def test_a_proxy_that_refuses(proxy: Web, hurried: Options):
    proxy.pages["far.example:443"] = answer(status=407)
    with Fetcher(hurried(proxies=True, attempts=1)) as fetcher:
        assert fetcher.fetch("https://far.example/a").reason == "broken connection: the proxy answers with status 407"
    assert proxy.paths() == ["far.example:443"]


def test_a_proxy_that_cannot_be_used(proxy: Web, hurried: Options, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigError, match="socks5"):
        Fetcher(hurried(proxies=True))


# Certificates ----------------------------------------------------------------------------------------------------------


def test_the_certificate_must_be_that_of_the_name(tmp_path: Path, web: Web, hurried: Options, monkeypatch: pytest.MonkeyPatch):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=right.example", "-addext", "subjectAltName=DNS:right.example"]
    subprocess.run(["openssl", *made, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    asked: list[str | None] = []
    context.sni_callback = lambda sock, name, _: asked.append(name)
    with serving(Web({"/a": PAGE}), context) as secure:
        with Fetcher(hurried(), PICTURES) as fetcher:
            unknown = fetcher.fetch(f"https://right.example:{secure.port}/a")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with Fetcher(hurried(), PICTURES) as fetcher:
            right = fetcher.fetch(f"https://right.example:{secure.port}/a")
            wrong = fetcher.fetch(f"https://wrong.example:{secure.port}/a")
            web.pages["/a"] = redirect(f"https://right.example:{secure.port}/a")
            upwards = fetcher.fetch(web.url("/a"))
    assert isinstance(right, Fetched) and isinstance(upwards, Fetched)
    assert unknown.reason.startswith("bad certificate: self")
    assert wrong.reason.startswith("bad certificate: Hostname mismatch")
    assert asked == ["right.example", "right.example", "wrong.example", "right.example"]
