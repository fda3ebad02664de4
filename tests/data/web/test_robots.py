from __future__ import annotations

import http.client

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.data.web.addresses import Refused
from mella_retrieval.data.web.robots import parse_robots, refuse_tagged

ROBOT = "mella-retrieval"


def allowed(text: str, target: str) -> bool:
    return not parse_robots(text, ROBOT).forbidding(target)


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("", "/a", True),
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: *\nDisallow: /", "/a", False),
        ("\ufeffuser-AGENT : *\r\nDISALLOW : / # all of it\r\n", "/a", False),
        ("User-agent: other\nDisallow: /", "/a", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: Mella-Retrieval/2\nDisallow: /b", "/a", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: mella-retrieval\nDisallow: /b", "/b", False),
        ("User-agent: *\n\nDisallow: /a", "/a", False),
        ("User-agent: other\nUser-agent: mella-retrieval\nDisallow: /a", "/a", False),
        ("User-agent: mella-retrieval\nDisallow: /a\nUser-agent: other\nDisallow: /b", "/b", True),
        ("User-agent: mella-retrieval\nDisallow: /a\n\nUser-agent: mella-retrieval\nDisallow: /b", "/b", False),
        ("Disallow: /", "/a", True),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("User-agent: *\nAllow: /a\nDisallow: /a/b", "/a/b/c", False),
        ("User-agent: *\nAllow: /a\nDisallow: /a", "/a", True),
        ("User-agent: *\nDisallow: /*.gif$", "/x/y.gif", False),
        ("User-agent: *\nDisallow: /*.gif$", "/x/y.gif?z", True),
        ("User-agent: *\nDisallow: /*?", "/a?b", False),
        ("User-agent: *\nDisallow: /*/private/*/x", "/a/private/b/x", False),
        ("User-agent: *\nDisallow: /*/private/*/x", "/private/b/x", True),
        ("User-agent: *\nDisallow: /a$", "/ab", True),
        ("User-agent: *\nDisallow: /a*a$", "/a", True),
        ("User-agent: *\nDisallow: /猫", "/%E7%8C%AB.jpg", False),
        ("User-agent: *\nDisallow: *", "/a", False),
        ("<html><body>Disallow: / User-agent: *</body></html>", "/a", True),
    ],
)
def test_what_a_robots_txt_allows(text: str, target: str, expected: bool):
    assert allowed(text, target) is expected


def test_the_delay_that_is_asked_for():
    assert parse_robots("User-agent: *\nCrawl-delay: 2.5", ROBOT).delay == 2.5
    assert parse_robots("User-agent: *\nCrawl-delay: 99999", ROBOT).delay == 60
    assert parse_robots("User-agent: *\nCrawl-delay: soon\nCrawl-delay: -3", ROBOT).delay == 0


def test_a_hostile_pattern_costs_no_time():
    """It would take a regular expression longer than anybody waits."""
    rules = parse_robots("User-agent: *\nDisallow: /" + "*a" * 2000 + "b", ROBOT)
    assert not rules.forbidding("/" + "a" * 5000)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["User-agent: *", "Disallow: /", "Allow: /a*$", "Crawl-delay: 1", "\r", "#"]) | st.text()))
def test_any_text_is_read(lines: list[str]):
    parse_robots("\n".join(lines), ROBOT).forbidding("/a")


def headers(*values: str) -> http.client.HTTPMessage:
    message = http.client.HTTPMessage()
    for value in values:
        message["X-Robots-Tag"] = value
    return message


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ((), False),
        (("noindex, nofollow",), False),
        (("noai",), True),
        (("noindex, NoImageAI",), True),
        (("max-snippet:-1, noai",), True),
        (("otherbot: noai, noimageai",), False),
        (("mella-retrieval: noai",), True),
        (("*: noindex, noai",), True),
        (("otherbot: noindex", "noimageai"), True),
    ],
)
def test_tags_against_training(values: tuple[str, ...], refused: bool):
    if refused:
        with pytest.raises(Refused, match=r"^forbidden by X-Robots-Tag: no"):
            refuse_tagged(headers(*values), ROBOT)
    else:
        refuse_tagged(headers(*values), ROBOT)
