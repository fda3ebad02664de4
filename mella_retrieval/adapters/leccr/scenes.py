"""Pictures and their descriptions as ragged token sets, and the rule that a description is never a query."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mella_retrieval.artifacts import sha256_bytes
from mella_retrieval.embeddings.sets import EmbeddingSet, Selection, Vectors
from mella_retrieval.embeddings.tokens import Mask, TokenReader, pad
from mella_retrieval.errors import DataError, MismatchError

Rows = npt.NDArray[np.int64]

DESCRIBED = "described_by"
"""Column of an enriched set: hashes of the descriptions of each picture, by which evaluations refuse to ask with them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scenes:
    """Some pictures and what is written about each, as tokens; vectors are read from the stored sets when they are asked for.

    Attributes:
        images: token vectors of the picture set.
        pictures: (n,), the row of `images` of each picture.
        descriptions: token vectors of the description set.
        starts: (n + 1,), where the descriptions of each picture begin in `described_by`.
        described_by: (m,), rows of `descriptions`.
    """

    images: TokenReader
    pictures: Rows
    descriptions: TokenReader
    starts: Rows
    described_by: Rows

    @classmethod
    def match(cls, pictures: Selection, descriptions: Selection) -> Scenes:
        """Pictures with the descriptions whose column `image_id` names them.

        Raises:
            ArtifactError: a set holds pooled vectors only.
            DataError: descriptions have no `image_id`, none of them belongs to a picture, or a picture has no token.
            MismatchError: descriptions are not text vectors.
        """
        written = descriptions.source
        if written.modality != "text":
            raise MismatchError(f"descriptions must be text vectors, but {written.folder} holds {written.modality} vectors.")
        readers = TokenReader(pictures.source), TokenReader(written)
        if not readers[0].counts[pictures.positions].all():
            raise DataError(f"a picture of {pictures.source.folder} has no token vectors; embed the pictures again.")
        found = _by_picture(pictures.ids, descriptions)
        if not any(found):
            raise DataError(f"no image_id of the descriptions in {written.folder} names a picture of {pictures.source.folder}.")
        starts = np.cumsum([0, *map(len, found)])
        return cls(readers[0], pictures.positions, readers[1], starts, np.array(list(chain.from_iterable(found)), np.int64))

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def descriptions_each(self) -> Rows:
        """(n,) number of descriptions of each picture."""
        return np.diff(self.starts)

    def take(self, rows: Rows) -> Scenes:
        """Some of these pictures with their descriptions."""
        parts = [self.described_by[self.starts[row] : self.starts[row + 1]] for row in rows]
        starts = np.cumsum([0, *map(len, parts)])
        described_by = np.concatenate([*parts, np.empty(0, np.int64)])
        return Scenes(self.images, self.pictures[rows], self.descriptions, starts, described_by)

    def undescribed(self) -> Scenes:
        """The same pictures as if nothing were written about them."""
        return Scenes(self.images, self.pictures, self.descriptions, np.zeros_like(self.starts), np.empty(0, np.int64))

    def image_tokens(self, rows: Rows) -> tuple[Vectors, Mask]:
        """Tokens of some pictures, padded: (b, N, d) and the mask (b, N)."""
        return self.images.padded(self.pictures[rows])

    def description_tokens(self, rows: Rows) -> tuple[Vectors, Mask]:
        """Tokens of all descriptions of each picture, one after another and padded; an empty row where there is none."""
        chosen = self.take(rows)
        return self._joined(chosen, self.descriptions.rows(chosen.described_by), self.descriptions.dim)

    def sentences(self, rows: Rows) -> tuple[Vectors, Mask]:
        """The pooled vector of each description of each picture, padded: (b, S, d_x) and the mask (b, S)."""
        chosen, source = self.take(rows), self.descriptions.source
        return self._joined(chosen, list(source.vectors(chosen.described_by)[:, None]), source.dim)

    @staticmethod
    def _joined(chosen: Scenes, tokens: list[Vectors], dim: int) -> tuple[Vectors, Mask]:
        empty = [np.empty((0, dim), np.float32)]
        joined = [np.concatenate(empty + tokens[start:end]) for start, end in zip(chosen.starts, chosen.starts[1:], strict=False)]
        return pad(joined, dim)


def _by_picture(image_ids: Iterable[str], descriptions: Selection) -> list[list[int]]:
    found: dict[str, list[int]] = {key: [] for key in image_ids}
    for row, key in zip(descriptions.positions.tolist(), descriptions.column("image_id"), strict=True):
        if str(key) in found:
            found[str(key)].append(row)
    return list(found.values())


def given_names(sources: dict[str, str]) -> frozenset[str]:
    """What is at hand: the sources by name, and `tokens` where the pictures were embedded with them."""
    have = frozenset(sources) - {"validation"}
    if "image_vectors" not in have:
        return have
    pictures = EmbeddingSet.load(Path(sources["image_vectors"].partition("?")[0]))
    return have | ({"tokens"} if pictures.manifest.get("token_dim") else set())


def without_descriptions(texts: Selection, descriptions: Selection, name: str) -> Selection:
    """Those texts that are not descriptions: neither by their id nor by what they say. What is left out is counted and logged.

    Raises:
        DataError: nothing is left.
    """
    ids, written = set(descriptions.ids), text_keys(descriptions)
    keys = [text_key(text) for text in texts.column("text")] if written and texts.has_column("text") else [""] * len(texts)
    kept = [row for row, (key, said) in enumerate(zip(texts.ids, keys, strict=True)) if key not in ids and said not in written]
    if not kept:
        raise DataError(f"every text of {texts.source.folder} serves as a description: nothing is left to ask with.")
    if len(kept) < len(texts):
        log.warning("%d of %d texts in %s serve as descriptions and are left out", len(texts) - len(kept), len(texts), name)
    return texts.take(np.array(kept, np.int64))


def without_asked(descriptions: Selection, asked: Selection) -> Selection:
    """Those descriptions that are not among the texts that will be asked. What is left out is counted and logged.

    Raises:
        DataError: nothing is left.
    """
    ids, said = set(asked.ids), text_keys(asked)
    keys = (
        [text_key(text) for text in descriptions.column("text")] if said and descriptions.has_column("text") else descriptions.ids
    )
    kept = [row for row, (own, key) in enumerate(zip(descriptions.ids, keys, strict=True)) if own not in ids and key not in said]
    left_out, name = len(descriptions) - len(kept), descriptions.source.folder
    if not kept:
        raise DataError(
            f"every description of these pictures in {name} is also a text that is asked: none is left to enrich them with."
        )
    if left_out:
        log.warning("%d of %d descriptions in %s are also asked and are left out", left_out, len(descriptions), name)
    return descriptions.take(np.array(kept, np.int64))


def text_keys(descriptions: Selection) -> set[str]:
    """Keys of all texts of a set; empty where it does not hold them (imported vectors)."""
    if not descriptions.has_column("text"):
        return set()
    return {text_key(text) for text in descriptions.column("text")}


def text_key(text: str) -> str:
    """A text without what does not make it another: case, spaces, end marks, compatibility forms."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".!。！")


def hashed_keys(descriptions: EmbeddingSet) -> list[str]:
    """A short hash of what each text of a set says, or of its id where the set does not hold texts."""
    if "text" not in descriptions.table.column_names:
        return [text_hash(key) for key in descriptions.ids]
    return [text_hash(text) for text in descriptions.column("text")]


def text_hash(text: str) -> str:
    """Hash of `text_key`, 128 bits."""
    return sha256_bytes(text_key(text).encode())[:32]


def open_scenes(pictures: Selection | None, descriptions: Selection | None) -> Scenes | None:
    """The scenes of a training run, or None where tokens or descriptions are not at hand."""
    if pictures is None or descriptions is None or not pictures.source.manifest.get("token_dim"):
        return None
    scenes = Scenes.match(pictures, descriptions)
    missing = int((scenes.descriptions_each == 0).sum())
    if missing:
        log.warning("%d of %d pictures have no description; the slots see a learned token in its place", missing, len(scenes))
    return scenes
