"""Chat models as translators: with eyes and without, local and served; what they say beside the translation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any
from urllib.parse import quote

import pytest
from chat_server_stand_in import Chat, chatting, completion, prompt_of
from translation_models import CHAT_PROMPT, ENGLISH, SAID, chat_model

from mella_retrieval import languages
from mella_retrieval.data.ling.contracts import Failed, Translator
from mella_retrieval.data.ling.translators import load_translator
from mella_retrieval.errors import ConfigError, EncoderError, UnavailableError
from mella_retrieval.mllm import chat_translators
from mella_retrieval.mllm.chat_translators import PROMPT, unwrapped
from mella_retrieval.mllm.decoding import Written
from mella_retrieval.mllm.translators import translators

EN, HU, TH = map(languages.get, ("en", "hu", "th"))
SHORT = f"prompt={quote(CHAT_PROMPT)}&max_new_tokens=60"


@pytest.fixture
def chat() -> Iterator[Chat]:
    with chatting(Chat(answer=lambda prompt, _: prompt.rpartition("\n")[2].upper())) as served:
        yield served


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_model(tmp_path_factory.mktemp("models") / "tiny-chat")


def load(spec: str) -> Translator:
    return load_translator(spec, translators("cpu"))


# On this machine -------------------------------------------------------------------------------------------------------------


def test_a_chat_model_translates(model: Path):
    translator = load(f"chat:{model}?{SHORT}")
    translator.require(EN, HU)
    assert tuple(translator.translate(ENGLISH, EN, HU)) == SAID["hu"]
    assert tuple(translator.translate(ENGLISH[::-1], EN, TH)) == SAID["th"][::-1]
    assert translator.name == "chat:tiny-chat?max_new_tokens=60"
    translator.close()
    assert translator.translate(ENGLISH[1:2], EN, HU) == [SAID["hu"][1]]


def test_what_does_not_fit_is_translated_by_sentences_and_what_has_no_end_fails(model: Path):
    text, said = " ".join(ENGLISH), " ".join(SAID["hu"])
    assert load(f"chat:{model}?{SHORT}&unit=sentence").translate([text], EN, HU) == [said]
    loaded = load(f"chat:{model}?{SHORT}")._loaded()  # type: ignore[attr-defined]
    longest = max(loaded.lengths([[{"role": "user", "content": f"Hungarian: {one}"}] for one in ENGLISH]))
    narrow = load(f"chat:{model}?{SHORT.replace('=60', f'={loaded.positions - longest}')}")
    fits, long = narrow.translate([text, "x" * 300], EN, HU)
    assert fits == said
    assert isinstance(long, Failed) and f"without an end mark between, {longest} fit" in long.reason
    (cut,) = load(f"chat:{model}?{SHORT.replace('=60', '=2')}").translate(ENGLISH[:1], EN, HU)
    assert cut == Failed("the translation has no end within max_new_tokens=2")
    with pytest.raises(ConfigError, match="leaves no room"):
        load(f"chat:{model}?max_new_tokens={loaded.positions}").translate(["A."], EN, HU)


def test_a_draw_depends_on_seed_and_text_not_on_the_batch(model: Path, monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    write = chat_translators.write

    def heard(*given: Any) -> list[Written]:
        answers = write(*given)
        said.extend(one.text for one in answers)
        return answers

    def drawn(*texts: str, seed: int) -> set[str]:
        said.clear()
        load(f"chat:{model}?{SHORT.replace('=60', '=9')}&temperature=5&seed={seed}").translate(texts, EN, HU)
        return {*said}

    monkeypatch.setattr(chat_translators, "write", heard)
    together = drawn(*ENGLISH, seed=1)
    assert len(together) == 3
    assert together == set().union(*(drawn(text, seed=1) for text in ENGLISH))
    assert not together & drawn(*ENGLISH, seed=2)


@pytest.mark.parametrize("thinks", [False, True])
def test_a_template_is_told_not_to_think_only_where_it_can_be(qwen: Path, tmp_path: Path, thinks: bool):
    folder = copytree(qwen, tmp_path / "model")
    if thinks:
        template = folder / "chat_template.jinja"
        mark = "{% if enable_thinking is defined and not enable_thinking %}SILENT{% endif %}"
        template.write_text(template.read_text(encoding="utf-8") + mark, encoding="utf-8")
    loaded = load(f"chat:{folder}")._loaded()  # type: ignore[attr-defined]
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    library = logging.getLogger("transformers")  # which hands nothing up
    library.addHandler(handler)
    try:
        text = loaded._text([{"role": "user", "content": "A house."}])
    finally:
        library.removeHandler(handler)
    assert text.endswith("SILENT") is thinks
    assert said == []


def test_a_model_that_sees_is_asked_without_a_picture(qwen: Path):
    translator = load(f"chat:{qwen}?max_new_tokens=4")
    found = translator.translate(["A house.", "A dog."], EN, HU)
    assert len(found) == 2
    assert all(isinstance(one, str) or "no end within" in one.reason for one in found)
    assert translator.name == "chat:tiny-qwen2-vl?max_new_tokens=4"


def test_a_model_that_does_not_chat_is_refused(nllb: Path, model: Path, tmp_path: Path):
    with pytest.raises(EncoderError, match=r"none that chats.*transformers:"):
        load(f"chat:{nllb}")
    with pytest.raises(EncoderError, match="no folder"):
        load(f"chat:{tmp_path / 'nothing'}")
    with pytest.raises(EncoderError, match="no adapter"):
        load(f"chat:{model}?base=some/model")
    with pytest.raises(ConfigError, match="quantize"):
        load(f"chat:{model}?quantize=true").translate(["A."], EN, HU)
    silent = tmp_path / "silent"
    silent.mkdir()
    for file in model.iterdir():
        if file.suffix != ".jinja":
            (silent / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UnavailableError, match="no chat template"):
        load(f"chat:{silent}").translate(["A."], EN, HU)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("Translate it.", "no {text}"),
        ("Into {language}: {text}", "{language}, which means nothing here"),
        ("{text", "is no template"),
    ],
)
def test_prompts_are_checked(model: Path, prompt: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load(f"chat:{model}?prompt={quote(prompt)}")


# Behind a server -------------------------------------------------------------------------------------------------------------


def test_a_server_is_asked_as_the_prompt_says(chat: Chat):
    translator = load(f"{chat.spec}?parallel=3&system=Be%20brief.")
    assert translator.translate(["one", "two", "one"], EN, languages.get("sr")) == ["ONE", "TWO", "ONE"]
    assert len(chat.requests) == 2
    body = next(body for body in chat.requests if prompt_of(body).endswith("one"))
    assert prompt_of(body) == PROMPT.format(source="English", target="Serbian (Cyrillic script)", text="one")
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["max_tokens"]) == (0, 1024)
    assert translator.name == "server:some/model"
    assert "Be brief." in translator.prompts
    assert any("Answer with the translation alone" in prompt for prompt in translator.prompts)
    translator.close()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (400, "the server answered 400: told to fail with 400"),
        (completion("Half of", "length"), "the translation has no end within max_new_tokens=1024"),
        (completion(" "), "the answer is empty"),
        (completion("<think>What is it?</think>"), "the answer is empty"),
        (b"<html>", "the answer "),
    ],
)
def test_a_bad_answer_is_a_failure_of_its_text(chat: Chat, step: Any, reason: str):
    chat.plan = [step]
    first, second = load(f"{chat.spec}?model=m&parallel=1&retries=0").translate(["one", "two"], EN, HU)
    assert isinstance(first, Failed) and first.reason.startswith(reason)
    assert second == "TWO"


def test_once_a_translation_had_an_end_one_without_is_the_fault_of_its_text(chat: Chat):
    translator = load(f"{chat.spec}?model=m&parallel=1")
    for own in (False, True):
        chat.plan = [completion("Half of", "length")]
        cut, whole = translator.translate(["one", "two"], EN, HU)
        assert (cut, whole) == (Failed("the translation has no end within max_new_tokens=1024", own), "TWO")


def test_an_error_of_a_moment_is_asked_again(chat: Chat):
    chat.plan = [500, 503]
    assert load(f"{chat.spec}?model=m&retries=3").translate(["one"], EN, HU) == ["ONE"]
    assert len(chat.requests) == 3


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_server_that_does_not_serve_ends_the_work(chat: Chat, status: int):
    chat.always = status
    with pytest.raises(UnavailableError):
        load(f"{chat.spec}?model=m&retries=0").translate(["one", "two"], EN, HU)


def test_a_server_that_is_down_ends_the_work():
    with chatting() as served:
        spec = served.spec
    with pytest.raises(UnavailableError, match="no server answers"):
        load(f"{spec}?model=m&retries=0").translate(["one"], EN, HU)


def test_one_language_is_no_translation(chat: Chat):
    with pytest.raises(ConfigError, match="nothing to translate into"):
        load(f"{chat.spec}?model=m").require(HU, HU)


# What stands around a translation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "text", "found"),
    [
        ("<think>A house\nis a ház.</think>\n\nEgy ház.", "A house.", "Egy ház."),
        ('"Egy ház."', "A house.", "Egy ház."),
        ("„Egy ház.”", "A house.", "Egy ház."),
        ("「一座房子」", "A house.", "一座房子"),
        ('"Egy ház."', '"A house."', '"Egy ház."'),
        ('"Ház" és "kutya"', "House and dog", '"Ház" és "kutya"'),
        ("'", "A", "'"),
        ("Sure! Egy ház.", "A house.", "Sure! Egy ház."),
    ],
)
def test_thoughts_and_quotation_marks_are_taken_away_and_nothing_else(answer: str, text: str, found: str):
    assert unwrapped(answer, text) == found


HOUSE = "Egy régi ház áll a dombon."


@pytest.mark.parametrize(
    ("answer", "text", "reason"),
    [
        (HOUSE, "An old house stands on the hill.", ""),
        (f"{HOUSE}\n\nNote: 'hill' may also mean 'halom'.", "An old house stands on the hill.", "2 lines where the text has 1"),
        (f"Here it is\n{HOUSE}", "An old house stands on the hill.", "2 lines where the text has 1"),
        (f"{HOUSE}\n\nFa.", "An old house stands on the hill.\nA tree.", ""),
        (f"Hungarian: {HOUSE}", "An old house stands on the hill.", "it begins with 'Hungarian:'"),
        (f"Magyar fordítás: {HOUSE}", "An old house stands on the hill.", "it begins with 'Magyar fordítás:'"),
        (f"The text translated into Hungarian is: {HOUSE}", "An old house stands.", "it begins with 'The text translated"),
        ("翻译：山上有一座老房子。", "An old house stands on the hill.", "it begins with '翻译：'"),
        ("Ház: piros – domb", "house: red – hill", ""),
        ("10:30-kor nyílik a régi ház.", "The old house opens at half past ten.", ""),
        ("Egy tábla, amelyen ez áll: NYITVA", "A sign that says OPEN", ""),
    ],
)
def test_chatter_beside_a_translation_is_a_failure(chat: Chat, answer: str, text: str, reason: str):
    chat.always = answer
    (found,) = load(f"{chat.spec}?model=m").translate([text], EN, HU)
    if not reason:
        assert found == answer
    else:
        assert isinstance(found, Failed) and found.reason.startswith(f"chatter: {reason}")


def test_every_loader_is_lazy():
    loaders: dict[str, Callable[..., Any]] = dict(translators())
    assert set(loaders) == {"transformers", "chat", "server"}
