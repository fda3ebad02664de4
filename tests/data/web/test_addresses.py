from __future__ import annotations

import ipaddress
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.data.web import addresses
from mella_retrieval.data.web.addresses import NoAnswer, Refused, Resolver, UnknownHost, is_public, locate


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://Example.COM", "http://example.com/"),
        ("https://example.com:443/a/b.jpg?x=1&y=2#top", "https://example.com/a/b.jpg?x=1&y=2"),
        ("http://example.com:8080/", "http://example.com:8080/"),
        ("  http://example.com/a b.jpg\n", "http://example.com/a%20b.jpg"),
        ("http://example.com/%E7%8C%AB.jpg", "http://example.com/%E7%8C%AB.jpg"),
        ("http://example.com/猫.jpg?名=犬", "http://example.com/%E7%8C%AB.jpg?%E5%90%8D=%E7%8A%AC"),
        ("http://Bücher.example/kůň.jpg", "http://xn--bcher-kva.example/k%C5%AF%C5%88.jpg"),
        ("http://my_bucket.example.com/a.jpg", "http://my_bucket.example.com/a.jpg"),
        ("http://93.184.216.34/a.jpg", "http://93.184.216.34/a.jpg"),
        ("http://[2606:4700::0001]:81/a.jpg", "http://[2606:4700::1]:81/a.jpg"),
        ("http://example.com?q", "http://example.com/?q"),
    ],
)
def test_locate__one_spelling(url: str, asked: str):
    assert locate(url).url == asked
    assert locate(asked) == locate(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "a.jpg", "/a.jpg", "//example.com/a.jpg", "http:///a.jpg", "http://", "http:example.com"),
        *("ftp://example.com/a", "file:///etc/passwd", "data:image/png;base64,AAAA", "gopher://x/", "javascript:alert(1)"),
        *("http://0x7f.1/", "http://0x7f000001/", "http://2130706433/", "http://127.1/", "http://017700000001/", "http://0/"),
        *("http://127.0.0.01/", "http://0177.0.0.1/", "http://1.2.3.4.5/", "http://999.1.1.1/", "http://example.1/"),
        *("http://example.com./", "http://127.0.0.1./", "http://.example.com/", "http://a..b/", "http://-a.com/"),
        *("http://user@example.com/", "http://user:word@example.com/", "http://example.com@127.0.0.1/"),
        *("http://example.com\\@127.0.0.1/", "http://exa mple.com/", "http://example%2ecom/", "http://127%2e0.0.1/"),
        *("http://[::1", "http://::1/", "http://[::1]x/", "http://[fe80::1%25eth0]/", "http://[example.com]/", "http://[]/"),
        *("http://example.com:0/", "http://example.com:70000/", "http://example.com:-1/", "http://example.com:8o/"),
        *("http://example.com:\u0661/", "http://\u2100.com/", "http://a\x00b/", "http://" + "a." * 200 + "com/"),
        *("http://example.com/" + "a" * 9000, "http://example.com/\ud800"),
    ],
)
def test_locate__refuses_what_is_no_plain_address(url: str):
    with pytest.raises(Refused, match=r"^not an address: "):
        locate(url)


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/", "http://127.255.0.3/", "http://10.1.2.3/", "http://172.31.0.1/", "http://192.168.1.1/"),
        *("http://169.254.169.254/latest/meta-data/", "http://100.64.0.1/", "http://100.100.100.200/", "http://0.0.0.0/"),
        *("http://224.0.0.1/", "http://255.255.255.255/", "http://240.0.0.1/", "http://198.18.0.1/", "http://192.0.0.8/"),
        *("http://168.63.129.16/", "http://[::1]/", "http://[::]/", "http://[fe80::1]/", "http://[fc00::1]/"),
        *("http://[fd00:ec2::254]/", "http://[ff02::1]/", "http://[fec0::1]/", "http://[::ffff:127.0.0.1]/"),
        *("http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[2002:7f00:1::]/", "http://[64:ff9b::10.0.0.1]/"),
        *("http://[64:ff9b:1::7f00:1]/", "http://[2001:0:7f00:1::]/", "http://[2001:db8::1]/", "http://[100::1]/"),
        *("http://１２７.０.０.１/", "http://①②⑦.0.0.1/", "http://127。0。0。1/"),
    ],
)
def test_private_addresses_in_any_form_are_refused(url: str):
    with pytest.raises(Refused, match=r"^private address: "):
        Resolver().addresses(locate(url).host, 1)
    assert Resolver(allow_private=True).addresses(locate(url).host, 1)


@pytest.mark.parametrize("text", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_pass(text: str):
    assert Resolver().addresses(text, 1) == [ipaddress.ip_address(text)]


def test_every_answer_must_be_public(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(addresses, "ask_dns", lambda host: ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(Refused, match=r"^private address: 10\.0\.0\.1, an address of mixed\.example$"):
        Resolver().addresses("mixed.example", 1)


def test_an_answer_that_changes_is_checked_again(monkeypatch: pytest.MonkeyPatch):
    answers = [["93.184.216.34"], ["127.0.0.1"]]
    monkeypatch.setattr(addresses, "ask_dns", lambda host: answers.pop(0))
    monkeypatch.setattr(addresses, "_KNOWN_FOR", 0.0)
    resolver = Resolver()
    assert [str(address) for address in resolver.addresses("rebinding.example", 1)] == ["93.184.216.34"]
    with pytest.raises(Refused, match=r"^private address: 127\.0\.0\.1"):
        resolver.addresses("rebinding.example", 1)


def test_answers_are_remembered(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(addresses, "ask_dns", lambda host: asked.append(host) or ["93.184.216.34", "93.184.216.34"])
    resolver = Resolver()
    assert resolver.addresses("a.example", 1) == resolver.addresses("a.example", 1)
    assert len(resolver.addresses("a.example", 1)) == 1
    assert asked == ["a.example"]


def failing(error: Exception):
    def ask(host: str) -> list[str]:
        raise error

    return ask


@pytest.mark.parametrize(
    ("ask", "kind", "message"),
    [
        (failing(socket.gaierror(socket.EAI_NONAME, "unknown")), UnknownHost, "^unknown host: a.example$"),
        (failing(UnicodeError("label too long")), UnknownHost, "^unknown host: a.example$"),
        (lambda host: [], UnknownHost, "^unknown host: a.example$"),
        (failing(socket.gaierror(socket.EAI_AGAIN, "later")), NoAnswer, "^broken connection: no name server"),
    ],
)
def test_names_that_cannot_be_looked_up(ask, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(addresses, "ask_dns", ask)
    with pytest.raises(kind, match=message):
        Resolver().addresses("a.example", 1)


def test_a_silent_name_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    ending = threading.Event()
    monkeypatch.setattr(addresses, "ask_dns", lambda host: ending.wait(5) and [])
    with pytest.raises(TimeoutError, match=r"a\.example"):
        Resolver().addresses("a.example", 0.02)
    ending.set()


pieces = st.sampled_from(["http://", "https://", "//", "@", ":", "[", "]", "%", "127.0.0.1", "::1", ".", "0x7f", "\\", "#", "?"])


@settings(max_examples=60, deadline=None)
@given(st.lists(pieces | st.text(max_size=4), max_size=8).map("".join))
def test_locate__never_breaks_and_gives_what_it_would_give_again(url: str):
    try:
        found = locate(url)
    except Refused:
        return
    assert locate(found.url) == found
    assert found.url.isascii() and found.scheme in {"http", "https"} and 0 < found.port < 65536


@settings(max_examples=60, deadline=None)
@given(st.ip_addresses())
def test_is_public__never_more_generous_than_the_standard_library(address: ipaddress.IPv4Address | ipaddress.IPv6Address):
    mapped = getattr(address, "ipv4_mapped", None)
    if is_public(address):
        assert mapped or address.is_global
        assert not (address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified)
