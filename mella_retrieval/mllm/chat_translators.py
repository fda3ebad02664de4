"""Chat models as translators: of transformers on this machine (with or without eyes), and of OpenAI-compatible servers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import Field, field_validator

from mella_retrieval import languages
from mella_retrieval.artifacts import fingerprint
from mella_retrieval.data.ling.contracts import Failed
from mella_retrieval.data.ling.plugins import Request
from mella_retrieval.data.ling.recipe import check_template
from mella_retrieval.data.text import excerpt
from mella_retrieval.encoders.torch_towers import empty_cache, find_device
from mella_retrieval.encoders.transformers_models import resolve_precision
from mella_retrieval.errors import ConfigError, EncoderError, UnavailableError, ending_the_work
from mella_retrieval.languages import Language
from mella_retrieval.mllm.chat_models import ChatModel, identify_chat_model, load_chat_model
from mella_retrieval.mllm.chat_server import ChatServer, ServerOptions
from mella_retrieval.mllm.decoding import Decoding, Written, draw_of, seed_of
from mella_retrieval.mllm.generation import write
from mella_retrieval.mllm.long_texts import Count, Unit, divide, join
from mella_retrieval.recipes import build_config

PROMPT = (
    "Translate the text below from {source} into {target}. Answer with the translation alone, without quotation marks, notes or "
    "explanations.\n\n{text}"
)

_FIELDS = ("source", "target", "text")
_SCRIPTS = {
    "Arab": "Arabic script", "Cyrl": "Cyrillic script", "Deva": "Devanagari script", "Latn": "Latin script",
    "Hans": "simplified characters", "Hant": "traditional characters",
}  # fmt: skip
_THOUGHTS = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)
_QUOTES = {'"': '"', "“": "”", "„": "“”", "«": "»", "»": "«", "「": "」", "'": "'", "‘": "’"}
_LABEL = re.compile(r"\s*(?:[^\n:：]{0,60}translat[^\n:：]{0,40}[:：]|[^\s:：]{1,25}(?:\s[^\s:：]{1,25})?\s*(?::\s|：))")
_BEGINNING = 80
_NO_LIMIT = 1 << 62


class ChatOptions(Decoding):
    """Options of a spec, beside those of decoding.

    Attributes:
        prompt: what is asked; `{text}` is the text, `{source}` and `{target}` are the languages' English names.
        system: a message before the question.
        unit: `text` translates whole texts, sentence by sentence only what does not fit; `sentence` each sentence by itself.
        max_new_tokens: longest translation; one that reaches it is a failure, not a shorter translation.
        seed: for models that draw (temperature above 0).
    """

    max_new_tokens: int = Field(default=1024, ge=1)
    prompt: str = PROMPT
    system: str = ""
    unit: Unit = "text"
    seed: int = 0

    @field_validator("prompt")
    @classmethod
    def _template(cls, prompt: str) -> str:
        check_template(prompt, "the prompt", _FIELDS)
        if "{text}" not in prompt:
            raise ValueError("the prompt has no {text}, so the model would not see what to translate.")
        return prompt


class LocalChatOptions(ChatOptions):
    """Options of a model on this machine.

    Attributes:
        revision: of a hub model.
        base: of a PEFT adapter; see `load_image_text_model`.
        device, precision, quantize: see `load_image_text_model`.
    """

    revision: str | None = None
    base: str | None = None
    device: str | None = None
    precision: str | None = None
    quantize: bool = False


class ServerChatOptions(ServerOptions, ChatOptions):
    """Options of a server's model. Attributes: version: to be changed where another model stands under the same name."""

    max_new_tokens: int = Field(default=1024, ge=1)
    version: str = ""


_LOCAL_NOT_SAID = {"revision", "base", "device", "precision"}
_SERVER_NOT_SAID = {"model", "parallel", "timeout", "retries"}


class _ChatTranslator(ABC):
    """What both have in common: texts in pieces become questions, answers become translations."""

    name: str
    fingerprint: str

    def __init__(self, options: ChatOptions) -> None:
        self._chat = options
        self._ended = False  # once a translation had an end, one without is the fault of its text
        # What checks look for in the answers: the parts of the prompt that are the same for every text.
        fixed = re.split(r"\{\w+\}", options.prompt)
        self.prompts = tuple(part.strip() for part in (*fixed, options.system) if part.strip())

    def require(self, source: Language, target: Language) -> None:
        """See `Translator`. What a chat model can write shows in its answers alone; the checks look at them."""
        if source.code == target.code:
            raise ConfigError(f"{source.name} is the language of the texts, nothing to translate into.")

    def translate(self, texts: Sequence[str], source: Language, target: Language) -> Sequence[str | Failed]:
        """See `Translator`."""
        questions: dict[str, list[dict[str, Any]]] = {}

        def question(text: str) -> list[dict[str, Any]]:
            if text not in questions:
                questions[text] = self._question(text, source, target)
            return questions[text]

        count, limit = self._room(question)
        divided = divide(texts, self._chat.unit, count, limit)
        pieces = list(dict.fromkeys(piece.text for found in divided if not isinstance(found, Failed) for piece in found))
        answers = self._answers({piece: question(piece) for piece in pieces}, max(len(texts), 1))
        translated = {piece: self._translation(piece, answer) for piece, answer in answers.items()}
        return [found if isinstance(found, Failed) else join(found, translated, target) for found in divided]

    def _question(self, text: str, source: Language, target: Language) -> list[dict[str, Any]]:
        asked = self._chat.prompt.format(source=_spoken(source), target=_spoken(target), text=text)
        told = [{"role": "system", "content": self._chat.system}] if self._chat.system else []
        return [*told, {"role": "user", "content": asked}]

    def _translation(self, text: str, answer: Written | Failed) -> str | Failed:
        if isinstance(answer, Failed):
            return answer
        if answer.cut:
            return Failed(f"the translation has no end within max_new_tokens={self._chat.max_new_tokens}", own=self._ended)
        self._ended = True
        found = unwrapped(answer.text, text)
        chatter = beside(found, text) if found else "the answer is empty"
        return Failed(chatter) if chatter else found

    @abstractmethod
    def _room(self, question: Any) -> tuple[Count, int]:
        """How long a piece is as a question, and the longest that fits."""

    @abstractmethod
    def _answers(self, questions: Mapping[str, list[dict[str, Any]]], batch: int) -> dict[str, Written | Failed]:
        """The answer to each question."""


class LocalChatTranslator(_ChatTranslator):
    """See `Translator`."""

    def __init__(self, request: Request, device: str = "auto", precision: str = "auto") -> None:
        options = build_config(LocalChatOptions, request.options, repr(request.spec))
        super().__init__(options)
        self._options, self._model_name = options, request.name
        self._device = options.device or device
        self._precision = resolve_precision(options.precision or precision, find_device(self._device))
        identity = identify_chat_model(request.name, revision=options.revision, base=options.base)
        named = {name: value for name, value in request.options.items() if name not in {*_LOCAL_NOT_SAID, "prompt", "system"}}
        self.name = Request(request.kind, identity.name, named).spec
        said = options.model_dump(exclude=_LOCAL_NOT_SAID)
        self.fingerprint = fingerprint({"model": identity.fingerprint, "precision": self._precision, **said})
        self._model: ChatModel | None = None

    def close(self) -> None:
        """See `Translator`."""
        self._model = None
        empty_cache()

    def _room(self, question: Any) -> tuple[Count, int]:
        loaded, longest = self._loaded(), self._options.max_new_tokens
        if loaded.positions <= longest:
            raise ConfigError(
                f"{self.name} reads and writes {loaded.positions:,} tokens in all; max_new_tokens={longest} leaves no room."
            )
        return lambda texts: loaded.lengths([question(text) for text in texts]), loaded.positions - longest

    def _answers(self, questions: Mapping[str, list[dict[str, Any]]], batch: int) -> dict[str, Written | Failed]:
        loaded, found = self._loaded(), dict[str, Written | Failed]()
        lengths = dict(zip(questions, loaded.lengths(list(questions.values())), strict=True)) if questions else {}
        ordered = sorted(questions, key=lambda text: (lengths[text], text))
        for start in range(0, len(ordered), batch):
            some = ordered[start : start + batch]
            inputs = loaded.inputs([questions[text] for text in some])
            draws = [draw_of(self._options.seed, (text,)) for text in some]
            found.update(zip(some, write(loaded.model, loaded.tokenizer, inputs, self._options, draws), strict=True))
        return found

    def _loaded(self) -> ChatModel:
        if self._model is None:
            options = self._options
            with ending_the_work():
                self._model = load_chat_model(
                    self._model_name,
                    revision=options.revision,
                    base=options.base,
                    device=self._device,
                    precision=self._precision,
                    quantize=options.quantize,
                )
        return self._model


class ServerTranslator(_ChatTranslator):
    """See `Translator`; how long a text may be the server knows alone, and says so where one is too long."""

    def __init__(self, request: Request) -> None:
        options = build_config(ServerChatOptions, request.options, repr(request.spec))
        super().__init__(options)
        self._options = options
        self._server = ChatServer(request.name, options)
        named = {name: value for name, value in request.options.items() if name not in {*_SERVER_NOT_SAID, "prompt", "system"}}
        self.name = Request(request.kind, self._server.model_name, named).spec
        said = options.model_dump(exclude=_SERVER_NOT_SAID)
        self.fingerprint = fingerprint({"server": self._server.model, **said})

    def close(self) -> None:
        """See `Translator`."""
        self._server.close()

    def _room(self, question: Any) -> tuple[Count, int]:
        return lambda texts: [0] * len(texts), _NO_LIMIT

    def _answers(self, questions: Mapping[str, list[dict[str, Any]]], batch: int) -> dict[str, Written | Failed]:
        def ask(text: str) -> Written | Failed:
            try:
                return self._server.write(questions[text], seed=seed_of(self._options.seed, (text,)))
            except UnavailableError:
                raise
            except EncoderError as error:
                return Failed(str(error))

        with ThreadPoolExecutor(self._options.parallel) as pool:
            try:
                return dict(zip(questions, pool.map(ask, questions), strict=True))
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def unwrapped(answer: str, text: str) -> str:
    """An answer without a reasoning model's thoughts, and without quotation marks around all of it that the text has not.

    Nothing else is taken away: what a model says beside the translation is no longer known from what it translates.
    """
    answer = _THOUGHTS.sub("", answer).strip()
    closing = _QUOTES.get(answer[:1], "")
    inner = answer[1:-1]
    if len(answer) > 2 and answer[-1] in closing and text.strip()[:1] not in _QUOTES and not set(inner) & {answer[0], answer[-1]}:
        return inner.strip()
    return answer


def beside(answer: str, text: str) -> str:
    """What stands beside the translation in an answer, "" if nothing shows: a translation has no more lines than its text (notes,
    "here it is", a second version), and no label ("Magyarul:") where its text has none. The checks look at the rest.
    """
    lines, own = ([line for line in whole.splitlines() if line.strip()] for whole in (answer, text))
    if len(lines) > len(own):
        return f"chatter: {len(lines)} lines where the text has {len(own)}: {excerpt(' | '.join(lines), 200)}"
    label = _LABEL.match(answer)
    if label and not re.search("[:：]", text[:_BEGINNING]):
        return f"chatter: it begins with {label.group().strip()!r} and the text does not: {excerpt(answer, 200)}"
    return ""


def _spoken(lang: Language) -> str:
    """The English name of a language, with its script where it is written in several."""
    several = {other.script for other in languages.known() if other.iso639_3 == lang.iso639_3} - {lang.script}
    script = _SCRIPTS.get(lang.script)
    return f"{lang.name} ({script})" if several and script and "(" not in lang.name else lang.name
