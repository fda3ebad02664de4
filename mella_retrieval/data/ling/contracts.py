"""What a captioner and a translator promise, and what they are handed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL.Image import Image

from mella_retrieval.languages import Language


@dataclass(frozen=True, slots=True)
class Failed:
    """What a plug-in answers where it cannot: counted and listed, and the work goes on.

    Attributes:
        reason: for the list.
        own: it is the fault of this picture or text (too long, say): many of them in a row do not end the work.
    """

    reason: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to describe.

    Attributes:
        image_id: its name in the records.
        image: upright 8-bit RGB; None where the captioner does not read pictures.
    """

    image_id: str
    image: Image | None


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked about every picture.

    Attributes:
        lang: language of the descriptions.
        prompts: one for each description that is wanted of a picture.
        seed: for captioners that draw; with the image_id it must decide the answer.
    """

    lang: Language
    prompts: tuple[str, ...]
    seed: int


class Captioner(Protocol):
    """Describes pictures.

    Attributes:
        name: its spec, as records carry it.
        fingerprint: changes whenever its answers may; stored answers of another fingerprint are not used.
        reads_pictures: whether pictures are decoded for it.

    Making one is cheap: weights are loaded with the first question and let go by `close`. An error of `describe` is taken for
    one about these pictures, and each of them is asked for alone; UnavailableError, ConfigError, MissingDependencyError and the
    like end the work. Out of memory (MemoryError, torch's error) asks again with half the pictures. A captioner may have a method
    `prepare(image)`, which is called where pictures are decoded: one that it would shrink anyway is then held in memory shrunk.
    """

    name: str
    fingerprint: str
    reads_pictures: bool

    def describe(self, pictures: Sequence[Picture], ask: Ask) -> Sequence[Sequence[str] | Failed]:
        """For each picture its descriptions, at most one for each prompt; an empty list where there is none."""

    def close(self) -> None:
        """Let memory go; the captioner may be asked again later."""


class Translator(Protocol):
    """Translates texts. Attributes and errors as for `Captioner`.

    Attributes:
        prompts: what a chat model is told, to find it in its answers; () for others.
    """

    name: str
    fingerprint: str
    prompts: tuple[str, ...]

    def require(self, source: Language, target: Language) -> None:
        """Raise a ConfigError or DataError if it does not translate between two languages; asked before long work begins."""

    def translate(self, texts: Sequence[str], source: Language, target: Language) -> Sequence[str | Failed]:
        """The translation of each text, "" where it has none. A `Language` has FLORES code (`flores`), `code` and `name`."""

    def close(self) -> None:
        """As for `Captioner`."""
