"""Captioners behind a chat server: what is sent, and servers that are slow, down or talk junk."""

from __future__ import annotations

import io
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from chat_server_stand_in import Chat, chatting, completion, picture_of, prompt_of
from PIL import Image
from speaking import COLOURS, picture

from mella_retrieval import languages
from mella_retrieval.data.ling.captioners import load_captioner
from mella_retrieval.data.ling.contracts import Ask, Failed, Picture
from mella_retrieval.errors import ConfigError, UnavailableError
from mella_retrieval.mllm.captioners import CAPTIONERS

PICTURES = [Picture(colour, picture(colour, (30 + 10 * place, 40))) for place, colour in enumerate(COLOURS)]
ASK = Ask(languages.get("en"), ("What is it?",), 0)


@pytest.fixture
def chat() -> Iterator[Chat]:
    with chatting(Chat(answer=_colour)) as served:
        yield served


def _colour(prompt: str, seen: Image.Image | None) -> str:
    if seen is None:
        return f"{prompt} Nothing."
    red, green, blue = seen.convert("RGB").getpixel((1, 1))  # type: ignore[misc]
    nearest = min(COLOURS, key=lambda name: sum(abs(a - b) for a, b in zip(COLOURS[name][0], (red, green, blue), strict=True)))
    return f"{prompt} {nearest}"


def describe(spec: str, ask: Ask = ASK, pictures: list[Picture] = PICTURES) -> list[Any]:
    captioner = load_captioner(spec, CAPTIONERS)
    try:
        return list(captioner.describe(pictures, ask))
    finally:
        captioner.close()


def test_every_picture_gets_its_own_answer_from_several_requests_at_once(chat: Chat):
    together = threading.Barrier(4)
    chat.plan = [lambda body: together.wait(20) and None] * 4  # passes only if four are asked at the same time
    assert describe(f"{chat.spec}?model=some/model&parallel=4") == [[f"What is it? {colour}"] for colour in COLOURS]
    assert chat.most == 4
    assert {body["model"] for body in chat.requests} == {"some/model"}


def test_what_is_sent_is_of_the_protocol_and_no_more(chat: Chat):
    describe(f"{chat.spec}?max_new_tokens=40&system=Be short.&parallel=1", pictures=PICTURES[:1])
    (body,) = chat.requests
    assert set(body) == {"model", "messages", "max_tokens", "temperature", "top_p"}
    assert (body["max_tokens"], body["temperature"], body["top_p"]) == (40, 0, 1)
    assert body["messages"][0] == {"role": "system", "content": [{"type": "text", "text": "Be short."}]}
    describe(f"{chat.spec}?temperature=0.7&top_p=0.9&repetition_penalty=1.1", pictures=PICTURES[:1])
    assert chat.requests[1]["repetition_penalty"] == 1.1
    assert chat.requests[1]["seed"] >= 0


def test_pictures_are_sent_within_the_limits_and_by_default_small(chat: Chat):
    large = [Picture("large", Image.new("RGB", (4000, 2000)))]
    describe(chat.spec, pictures=large)
    describe(f"{chat.spec}?max_pixels=5000&format=png", pictures=large)
    describe(f"{chat.spec}?max_pixels=0&min_pixels=0", pictures=[Picture("small", Image.new("RGB", (8, 4)))])
    describe(f"{chat.spec}?min_pixels=3200", pictures=[Picture("small", Image.new("RGB", (8, 4)))])
    seen = [found for body in chat.requests if (found := picture_of(body))]
    assert [one.size for one in seen] == [(1416, 708), (100, 50), (8, 4), (80, 40)]
    assert [one.format for one in seen] == ["JPEG", "PNG", "JPEG", "JPEG"]


def test_draws_are_decided_by_picture_view_and_seed(chat: Chat):
    ask = Ask(ASK.lang, ("What is it?", "What is it?"), 7)
    describe(f"{chat.spec}?temperature=1", ask, PICTURES[:2])
    describe(f"{chat.spec}?temperature=1", ask, PICTURES[1:2])
    seeds = [body["seed"] for body in chat.requests]
    assert len({*seeds[:4]}) == 4
    assert {*seeds[4:]} < {*seeds[:4]}
    chat.requests.clear()
    assert describe(chat.spec, ask, PICTURES[:1]) == [["What is it? red"]]
    assert len(chat.requests) == 1  # greedy: the same question has the same answer


def test_without_pictures(chat: Chat):
    captioner = load_captioner(f"{chat.spec}?images=false", CAPTIONERS)
    assert not captioner.reads_pictures
    assert captioner.describe([Picture("p", None)], ASK) == [["What is it? Nothing."]]


def test_names_and_fingerprints(chat: Chat):
    chat.models = ["/models/mine/qwen-tuned"]
    captioner = load_captioner(f"{chat.spec}?parallel=3&timeout=5", CAPTIONERS)
    assert captioner.name == "server:qwen-tuned"
    same = load_captioner(f"{chat.spec}?model=/models/mine/qwen-tuned&retries=1", CAPTIONERS)
    assert same.fingerprint == captioner.fingerprint
    for other in ("temperature=1", "max_new_tokens=5", "images=false", "system=x", "version=2", "max_pixels=9"):
        assert load_captioner(f"{chat.spec}?{other}", CAPTIONERS).fingerprint != captioner.fingerprint


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(chat: Chat, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    captioner = load_captioner(chat.spec, CAPTIONERS)
    captioner.describe(PICTURES[:1], ASK)
    assert chat.headers[0]["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in captioner.name + str(captioner.fingerprint)
    chat.plan = [401]
    with pytest.raises(UnavailableError, match="refuses the key in OPENAI_API_KEY") as found:
        captioner.describe(PICTURES[:1], ASK)
    assert "sk-secret" not in str(found.value)


def test_a_key_that_a_server_says_back_is_not_repeated(chat: Chat, monkeypatch: pytest.MonkeyPatch):
    """What a failure says is written into files and logs."""
    monkeypatch.setenv("OPENAI_API_KEY", "  sk-secret\n")  # as a file of variables may have it
    captioner = load_captioner(f"{chat.spec}?parallel=1&retries=0", CAPTIONERS)
    told = {"error": {"message": "no picture, authorization: Bearer sk-secret"}}
    chat.plan = [told, b"Bearer sk-secret {", completion(None) | {"headers": "sk-secret"}, (400, told)]
    for found in captioner.describe([*PICTURES], ASK):
        assert isinstance(found, Failed)
        assert "sk-secret" not in found.reason
    assert "authorization: Bearer ***" in found.reason  # type: ignore[union-attr]
    assert {headers["authorization"] for headers in chat.headers} == {"Bearer sk-secret"}


@pytest.mark.parametrize("key", ["sk-sec\nret", "sk-sécret"])
def test_what_can_be_no_key_is_said_and_not_shown(chat: Chat, monkeypatch: pytest.MonkeyPatch, key: str):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match="the environment variable OPENAI_API_KEY holds no key") as found:
        load_captioner(f"{chat.spec}?model=x", CAPTIONERS)
    assert "sk-" not in str(found.value)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(chat: Chat, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert describe(chat.spec, pictures=PICTURES[:1]) == [["What is it? red"]]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (400, "the server answered 400: told to fail with 400"),
        (413, "the server answered 413"),
        (b"<html>Welcome to nginx!</html>", "cannot be read|has no text"),
        (b"", "cannot be read|has no text"),
        (b"\xff\xfe{", "cannot be read|has no text"),
        ({}, "has no text"),
        ({"choices": []}, "has no text"),
        ({"choices": [{"message": None}]}, "has no text"),
        ({"choices": "many"}, "cannot be read|has no text"),
        ({"error": {"message": "no memory"}}, "has no text"),
        (completion(None), "has no text"),
        (completion([{"type": "text", "text": "x"}]), "has no text"),
    ],
)
def test_junk_about_one_picture_is_a_failure_of_that_picture(chat: Chat, step: Any, reason: str):
    chat.plan = [step]
    first, second = describe(f"{chat.spec}?parallel=1&retries=0", pictures=PICTURES[:2])
    assert isinstance(first, Failed)
    assert re.search(reason, first.reason), first.reason
    assert second == ["What is it? green"]


def test_an_empty_answer_is_an_answer(chat: Chat):
    """The check `empty` lists it; a model that has nothing to say is no server that is down."""
    chat.always = "  "
    assert describe(chat.spec, pictures=PICTURES[:1]) == [[""]]


def test_a_server_that_recovers_is_asked_again(chat: Chat):
    chat.plan = [500, 503, 429]
    assert describe(f"{chat.spec}?retries=3&parallel=1", pictures=PICTURES[:1]) == [["What is it? red"]]
    assert len(chat.requests) == 4
    chat.plan = [500, 500]
    (found,) = describe(f"{chat.spec}?retries=1&parallel=1", pictures=PICTURES[:1])
    assert found == Failed("the server answered 500: told to fail with 500")


def test_a_slow_server(chat: Chat):
    chat.plan = ["slow"]
    first, second = describe(f"{chat.spec}?retries=0&timeout=0.5&parallel=1", pictures=PICTURES[:2])
    assert first == Failed("no answer within 0.5 s")
    assert second == ["What is it? green"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"has no model 'some/model', or is no chat server"),
        (401, "refuses the key"),
        (403, "refuses the key"),
        (503, "overloaded or not ready"),
        (429, r"overloaded or not ready after 2 tries \(429: told to fail with 429\)"),
    ],
)
def test_what_concerns_all_pictures_ends_the_work(chat: Chat, status: int, message: str):
    chat.always = status
    with pytest.raises(UnavailableError, match=message):
        describe(f"{chat.spec}?retries=1&model=some/model")


def test_a_server_that_is_down_is_an_end():
    with chatting() as gone:
        pass
    with pytest.raises(UnavailableError, match=r"no server answers at http://127.*refused.*Is it running\?"):
        describe(f"{gone.spec}?model=x&retries=0")
    with pytest.raises(UnavailableError, match="after 2 tries"):
        describe(f"{gone.spec}?model=x&retries=1", pictures=PICTURES[:1])
    with pytest.raises(UnavailableError, match="no server answers"):
        load_captioner(f"{gone.spec}?retries=0", CAPTIONERS)


def test_a_machine_that_does_not_react_is_an_end():
    """Its queue is full, as that of a machine behind a wall: nobody refuses, nobody answers."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        spec = f"server:http://127.0.0.1:{full.getsockname()[1]}/v1?model=x&retries=0&timeout=0.2"
        with pytest.raises(UnavailableError, match="no server answers at"):
            describe(spec, pictures=PICTURES[:1])


def test_a_model_has_to_be_named_where_there_are_several(chat: Chat):
    chat.models = ["one", "two"]
    with pytest.raises(UnavailableError, match=r"has 2 models \(one, two\); name one: \?model=NAME"):
        load_captioner(chat.spec, CAPTIONERS)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("server:somewhere", "no address of a server"),
        ("server:ftp://host/v1", "no address of a server"),
        ("server:http://user:secret@host/v1", "OPENAI_API_KEY"),
        ("server:http://host/v1?modell=x", "Did you mean 'model'"),
        ("server:http://host/v1?temperature=-1", "temperature"),
        ("server:http://host/v1?parallel=0", "parallel"),
        ("server:http://host/v1?format=gif", "'gif' is no format"),
        ("server:http://host/v1?min_pixels=9&max_pixels=5", "min_pixels"),
    ],
)
def test_wrong_specs(spec: str, message: str):
    with pytest.raises(ConfigError, match=message) as found:
        load_captioner(spec, CAPTIONERS)
    assert "secret" not in str(found.value)


def test_cut_answers_are_counted(chat: Chat, caplog: pytest.LogCaptureFixture):
    chat.always = completion("A red house with", "length")
    assert describe(f"{chat.spec}?max_new_tokens=4") == [["A red house with"]] * 4
    assert "4 answers reached max_new_tokens=4 and may be cut" in caplog.text


def test_views_that_would_say_the_same_are_told(chat: Chat, caplog: pytest.LogCaptureFixture):
    captioner = load_captioner(chat.spec, CAPTIONERS)
    captioner.describe(PICTURES[:1], Ask(ASK.lang, ASK.prompts[:1] * 2, 0))
    captioner.close()
    assert "1 of 2 views of each picture were asked" in caplog.text


def test_the_stand_in_sees_what_is_sent(chat: Chat):
    """So that the tests above mean something."""
    describe(chat.spec, pictures=PICTURES[:1])
    file = io.BytesIO()
    found = picture_of(chat.requests[0])
    assert found is not None
    found.save(file, "png")
    assert prompt_of(chat.requests[0]) == "What is it?"
