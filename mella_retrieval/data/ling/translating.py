"""The translating half of a job: texts of one language in shards, what a translator said of them, what the checks say of that."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mella_retrieval.artifacts import Json, sha256_bytes
from mella_retrieval.data.ling.answers import FAILED, Answers, is_failure
from mella_retrieval.data.ling.checks.check import Check, Judged, Tools
from mella_retrieval.data.ling.contracts import Translator
from mella_retrieval.data.ling.judging import Judgement, active, judge
from mella_retrieval.languages import Language


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a model gave, or one that is translated.

    Attributes:
        text_id: decided by what it is about, its language and content.
        image_id: of its picture.
        view: number of the description that it is or translates, from 1.
        content: the text itself.
        source: the text that it translates.
    """

    text_id: str
    image_id: str
    view: int
    content: str
    source: Text | None = None


@dataclass(frozen=True)
class Questions:
    """What a translating job asks, and whom.

    Attributes:
        work: folder of stored answers.
        identity: what decides which texts stand in which shard.
        source, targets: languages.
        translator: None where there are no targets.
        tools, checks: of the checks.
        batch: texts asked at a time.
        retry: ask again where a plug-in failed before.
    """

    work: Path
    identity: Json
    source: Language
    targets: Sequence[Language]
    translator: Translator | None
    tools: Tools
    checks: Sequence[Check]
    batch: int
    retry: bool = False

    def answers(self, name: str, key: Json, batch: int) -> Answers:
        """The stored answers to a question."""
        return Answers(self.work, name, {**self.identity, **key}, batch, retry=self.retry)


class TextJob(ABC):
    """A job that translates; subclasses say which texts.

    Attributes:
        questions: see there.
        translated, scored: the stored answers; of each target language, of each check and language.
        checks_source: whether texts of the source language are judged, too: a model gave them.
    """

    checks_source = False

    def __init__(self, questions: Questions) -> None:
        self.questions = questions
        self.source, self.targets = questions.source, questions.targets
        self.translated = {
            target.code: questions.answers(
                f"translate-{target.code}",
                {"translator": questions.translator.fingerprint, "source": self.source.code, "target": target.code},
                questions.batch,
            )
            for target in self.targets
            if questions.translator
        }
        self.scored = {
            (check.name, lang.code): questions.answers(
                f"{check.name}-{lang.code}",
                {"check": check.name, "by": check.key(questions.tools), "source": self.source.code, "lang": lang.code},
                questions.tools.batch,
            )
            for lang in ((self.source, *self.targets) if self.checks_source else self.targets)
            for check in self.checks(lang)
            if check.stored
        }

    @property
    @abstractmethod
    def shards(self) -> Sequence[tuple[int, int]]:
        """Begin and end of each in what the job works on."""

    @abstractmethod
    def sources(self, shard: int) -> list[Text]:
        """The texts of a shard that are translated."""

    def texts(self, shard: int, lang: Language) -> list[Text]:
        """The texts of a shard in a language, whatever the checks say."""
        return self.translations(shard, lang)[0]

    def prompts(self, lang: Language) -> tuple[str, ...]:
        """What the model was told that gave the texts in a language."""
        return self.questions.translator.prompts if self.questions.translator else ()

    def checks(self, lang: Language) -> list[Check]:
        """The checks of texts in a language that have what they need."""
        return active(self.questions.checks, self.questions.tools, translation=lang is not self.source)

    def translations(self, shard: int, lang: Language) -> tuple[list[Text], dict[str, str]]:
        """What the translator said of the sources, and text_id of a source -> why it has no translation."""
        sources = self.sources(shard)
        stored = self.translated[lang.code].read(shard, [text.text_id for text in sources])
        texts, without = [], {}
        for source in sources:
            value = stored[source.text_id]
            if is_failure(value) or not value:
                without[source.text_id] = value[FAILED] if value else "no translation"
            else:
                texts.append(self.translation(source, lang, value))
        return texts, without

    def translation(self, source: Text, lang: Language, content: str) -> Text:
        """A translation, named after its picture, language and content."""
        return Text(text_id(source.image_id, lang, content), source.image_id, source.view, content, source)

    def judgements(self, shard: int, lang: Language, texts: Sequence[Text]) -> list[Judgement]:
        """The outcome of all checks for the texts of a shard in a language."""
        ids = list(map(pair_id, texts))
        stored: dict[str, list[Mapping[str, float]]] = {}
        for check in self.checks(lang):
            if check.stored:
                scores = self.scored[check.name, lang.code].read(shard, ids)
                stored[check.name] = [scores[name] for name in ids]
        return judge(self.checks(lang), self.judged(texts, lang), self.questions.tools, stored)

    def judged(self, texts: Sequence[Text], lang: Language) -> list[Judged]:
        """The texts as checks look at them."""
        prompts = self.prompts(lang)
        return [
            Judged(text.content, lang, text.source.content, self.source, prompts)
            if text.source
            else Judged(text.content, lang, prompts=prompts)
            for text in texts
        ]


def text_id(owner: str, lang: Language, content: str) -> str:
    """The name of a text about something."""
    return f"{owner}#{lang.code}#{sha256_bytes(content.encode())[:16]}"


def pair_id(text: Text) -> str:
    """A text with its source: one translation may belong to two descriptions."""
    return f"{text.text_id} < {text.source.text_id}" if text.source else text.text_id
