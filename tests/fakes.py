"""Small deterministic towers, and real pictures and records for them."""

from __future__ import annotations

import hashlib
import threading
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image

from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.encoders.towers import Encoded, TowerInfo, normalise_rows

PATTERN = np.random.default_rng(7).normal(size=(48, 6)).astype(np.float32)


class FakeImageTower:
    """Projects 4 x 4 pixels. The size of the batch leaves a trace in the vectors, so that other batch boundaries show.

    Args:
        fits: batches larger than this run out of memory.
        pause: seconds a batch takes.
    """

    def __init__(self, *, weights: str = "a" * 64, precision: str = "fp32", fits: int = 1000, pause: float = 0) -> None:
        self.info = TowerInfo(spec="module:fakes:Colours", modality="image", dim=6, weights=weights, precision=precision)
        self.fits, self.pause = fits, pause
        self.batches: list[int] = []
        self.prepared = 0
        self.most_waiting = 0
        self._waiting = 0
        self._lock = threading.Lock()

    @property
    def encoded(self) -> int:
        return sum(self.batches)

    def prepare(self, image: Image.Image) -> torch.Tensor:
        with self._lock:
            self.prepared += 1
            self._waiting += 1
            self.most_waiting = max(self.most_waiting, self._waiting)
        return torch.from_numpy(np.asarray(image.resize((4, 4)), np.float32).reshape(-1) / 255 + 0.1)

    def encode(self, batch: Sequence[torch.Tensor], tokens: bool = False) -> Encoded:
        if len(batch) > self.fits:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {len(batch)} pictures")
        time.sleep(self.pause)
        self.batches.append(len(batch))
        with self._lock:
            self._waiting -= len(batch)
        values = torch.stack(list(batch)).numpy() @ PATTERN
        states = [np.outer(np.arange(1, 2 + int(value[0] * 100) % 4), value).astype(np.float32) for value in values]
        return Encoded(normalise_rows(values + len(batch) / 64), states if tokens else None)


class FakeTextTower:
    """Bags of letters; reads eight characters."""

    max_tokens = 8

    def __init__(self, *, weights: str = "b" * 64, fits: int = 1000) -> None:
        self.info = TowerInfo(spec="module:fakes:Words", modality="text", dim=6, weights=weights)
        self.fits = fits
        self.batches: list[list[str]] = []

    @property
    def encoded(self) -> int:
        return sum(map(len, self.batches))

    def prepare(self, text: str, lang: str | None = None) -> str:
        return unicodedata.normalize("NFC", text).replace("~", "")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(self.prepare(text)) for text in texts]

    def encode(self, texts: Sequence[str], langs: Sequence[str] | None = None, tokens: bool = False) -> Encoded:
        if len(texts) > self.fits:
            raise MemoryError
        self.batches.append(list(texts))
        pairs = zip(texts, langs or [""] * len(texts), strict=True)
        values = np.stack([word_vector(self.prepare(text)[: self.max_tokens] + lang) for text, lang in pairs])
        return Encoded(values, [values[[row]] for row in range(len(texts))] if tokens else None)


def word_vector(text: str, dim: int = 6) -> np.ndarray:
    """A unit vector that depends on the text alone."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return normalise_rows(np.random.default_rng(seed).normal(size=(1, dim)))[0]


class Colours:
    """The image tower of a `module:` spec: mean colour around grey, in three dimensions."""

    weights = "made of colours"

    def prepare(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image.resize((2, 2)), np.float32) / 255 - 0.45)

    def encode(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.mean(dim=(1, 2))


class Words:
    """The text tower of a `module:` spec: a one-hot vector per colour word of each language, Hungarian accents included."""

    modality = "text"
    weights = "made of words"
    vocabulary: ClassVar = ("red", "green", "blue", "piros", "zöld", "kék")
    loaded: ClassVar[list[str]] = []

    def __init__(self, copy: str = "") -> None:
        Words.loaded.append(copy)

    def encode(self, texts: list[str]) -> np.ndarray:
        rows = [[float(word in text.split()) for word in self.vocabulary] for text in texts]
        return np.array(rows, np.float32) + 1e-3


class OtherWords(Words):
    """The same words by another model."""

    weights = "other weights"


def write_pictures(folder: Path, count: int, seed: int = 0) -> list[str]:
    """PNG and JPEG files of noise; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    names = [f"p{number:03d}.{'png' if number % 2 else 'jpg'}" for number in range(count)]
    for name in names:
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / name)
    return names


def picture_records(folder: Path, pictures: Path, names: Sequence[str], **extras: str) -> Records:
    """Two English captions for every picture."""
    items = [
        RawRecord(name.split(".")[0], name, f"{caption} of {name}", "en", extras=extras)
        for name in names
        for caption in ("a picture", "one more view")
    ]
    write_records(folder, items, image_root=pictures, overwrite=True)
    return Records.load(folder)


def text_records(folder: Path, texts: Sequence[tuple[str, str]]) -> Records:
    """Records of (language, text) without pictures."""
    items = [RawRecord(f"i{row}", "", text, lang, text_id=f"t{row:03d}") for row, (lang, text) in enumerate(texts)]
    write_records(folder, items, overwrite=True)
    return Records.load(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
