"""Language means over stored vectors: taking away what the texts of one language share, before an adapter sees them.

A multilingual tower puts the texts of each language around a point of their own. The offset says nothing about the content, and
an adapter that was fitted on English never learnt to ignore it. `x - mu_lang + mu_to` moves a text to where the adapter's own
texts lie; the adapter stays as it is (methods.md, section 7). The means need unlabelled texts of the language and no picture.

A mean of few texts is mostly their content. The shift of a language with n texts is therefore scaled by `n / (n + shrinkage)`; a
language without texts is not shifted at all. On disk: `manifest.json` and `means.safetensors` with `means` (languages, dim).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.artifacts import (
    atomic_write,
    describe_file,
    fingerprint,
    new_folder,
    read_manifest,
    sha256_bytes,
    verify_file,
    write_manifest,
    writer_lock,
)
from mella_retrieval.embeddings.sets import EmbeddingSet, Selection, Vectors
from mella_retrieval.encoders.towers import TowerInfo, same_model
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, MismatchError

KIND = "language-means"
VERSION = 1
MEANS = "means.safetensors"
SHRINKAGE = 20.0
BLOCK = 16_384


@dataclass(frozen=True)
class Centred:
    """Shifted vectors.

    Attributes:
        vectors: (n, dim), float32, not normalised again: an affine head is fitted to such sums as they are.
        unknown: how many texts of each language without a mean were left where they were.
    """

    vectors: Vectors
    unknown: Mapping[str, int]


@dataclass(frozen=True)
class LanguageMeans:
    """The mean vector of each language under one text tower.

    Attributes:
        tower: the tower whose vectors these are means of.
        source: fingerprint of the vectors they were taken from.
        languages: codes, sorted.
        counts: (L,) texts per language.
        means: (L, dim) float32, the plain means.
        shrinkage: texts at which a shift has half its length; 0 for none.
    """

    tower: TowerInfo
    source: str
    languages: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    means: Vectors
    shrinkage: float = SHRINKAGE

    def apply(
        self,
        vectors: npt.NDArray[np.floating[Any]],
        langs: Sequence[str],
        tower: TowerInfo,
        to: str | Sequence[str] | None = None,
    ) -> Centred:
        """Subtract from each vector its language's mean.

        Args:
            vectors: (n, dim) of the text tower.
            langs: language of each.
            tower: the tower that made them.
            to: the languages the mean of whose texts is added, so that an adapter finds its texts where it learnt them: `en`
                for one that was fitted on English, its own languages for one fitted on pairs. None adds nothing, for vectors that
                are compared with one another.

        Raises:
            MismatchError: the vectors are another tower's.
            DataError: not as many languages as vectors.
            ConfigError: a language in `to` has no mean.
        """
        self.require_tower(tower, "the vectors to be centred")
        if vectors.ndim != 2 or len(vectors) != len(langs):
            raise DataError(f"{len(langs)} languages were given for vectors of shape {vectors.shape}; each vector needs one.")
        shifts = self._shifts(to)
        places = {code: row for row, code in enumerate(self.languages)}
        rows = np.array([places.get(lang, len(places)) for lang in langs], np.int64)
        unknown = Counter(lang for lang in langs if lang not in places)
        moved: Vectors = (np.asarray(vectors, np.float32) + shifts[rows]).astype(np.float32)
        return Centred(moved, dict(unknown))

    def _shifts(self, to: str | Sequence[str] | None) -> Vectors:
        """(L + 1, dim): what is added to the texts of each language, and zeros for the others."""
        codes = (to,) if isinstance(to, str) else tuple(to or ())
        if strange := [code for code in codes if code not in self.languages]:
            raise ConfigError(f"there is no mean of {', '.join(strange)}; there are means of {', '.join(self.languages)}.")
        rows = [self.languages.index(code) for code in codes]
        target = np.average(self.means[rows], axis=0, weights=self.counts[rows]) if codes else 0
        scale = self.counts / (self.counts + self.shrinkage)
        shifts = scale[:, None] * (target - self.means)
        return np.concatenate([shifts, np.zeros((1, self.means.shape[1]))]).astype(np.float32)

    def require_tower(self, tower: TowerInfo, what: str) -> None:
        """Refuse another tower, or the same with another text preparation.

        Raises:
            MismatchError: names both.
        """
        own = self.tower
        differs = own.preparation and tower.preparation and own.preparation != tower.preparation
        if own.modality != tower.modality or own.dim != tower.dim or not same_model(own, tower) or differs:
            raise MismatchError(
                f"the language means belong to the {own.modality} tower {own.spec} ({own.dim} dimensions, preparation "
                f"{own.preparation or 'not known'}), {what} to the {tower.modality} tower {tower.spec} ({tower.dim} dimensions, "
                f"preparation {tower.preparation or 'not known'}): take means over vectors of that tower."
            )

    @property
    def fingerprint(self) -> str:
        """Hash over the means and what made them."""
        return fingerprint({**self._content(), "means": sha256_bytes(self.means.astype("<f4").tobytes())})

    def _content(self) -> dict[str, Any]:
        return {
            "tower": self.tower.to_json(),
            "source": self.source,
            "shrinkage": self.shrinkage,
            "languages": dict(zip(self.languages, self.counts.tolist(), strict=True)),
        }

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Write the artifact aside and rename it.

        Raises:
            ArtifactError: the folder is there (without `overwrite`), or the disk is full.
        """
        from safetensors.numpy import save

        with writer_lock(folder), new_folder(folder, overwrite=overwrite) as aside:
            with atomic_write(aside / MEANS) as file:
                file.write(save({"means": self.means}))
            write_manifest(aside, KIND, VERSION, {**self._content(), "files": {MEANS: describe_file(aside / MEANS)}})

    @classmethod
    def load(cls, folder: Path | str) -> LanguageMeans:
        """Open stored means.

        Raises:
            ArtifactError: another kind of folder, or a file is missing, changed or does not fit the manifest.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        manifest = read_manifest(folder, KIND, VERSION)
        try:
            verify_file(folder / MEANS, manifest["files"][MEANS], deep=True)
            tower, counted = TowerInfo.from_json(manifest["tower"]), manifest["languages"]
            means = load_file(folder / MEANS)["means"]
            if means.shape != (len(counted), tower.dim):
                raise ArtifactError(
                    f"{folder / MEANS} has the shape {means.shape}, its manifest says {(len(counted), tower.dim)}."
                )
            counts = np.array(list(counted.values()), np.int64)
            return cls(tower, manifest["source"], tuple(counted), counts, means, float(manifest["shrinkage"]))
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError, SafetensorError) as error:
            raise ArtifactError(f"{folder} is damaged: {error!r}.") from None


def language_means(texts: EmbeddingSet | Selection, shrinkage: float = SHRINKAGE, block: int = BLOCK) -> LanguageMeans:
    """Means of the stored vectors of each language, read in blocks and summed in float64.

    Args:
        texts: text vectors with the column `lang`; rows without a language count for none.
        shrinkage: see `LanguageMeans`.
        block: vectors held at a time.

    Raises:
        DataError: picture vectors, no column `lang`, or no text with a language.
        ConfigError: a negative shrinkage.
    """
    chosen = texts.select() if isinstance(texts, EmbeddingSet) else texts
    source = chosen.source
    if source.modality != "text":
        raise DataError(f"{source.folder} holds {source.modality} vectors; language means are taken over texts.")
    if not (np.isfinite(shrinkage) and shrinkage >= 0):
        raise ConfigError(f"shrinkage is a number of texts, 0 or more, not {shrinkage}.")
    langs = chosen.column("lang")
    languages = sorted({str(lang) for lang in langs if lang})
    if not languages:
        raise DataError(f"no chosen text of {source.folder} has a language: there is nothing to take a mean of.")
    places = {code: row for row, code in enumerate(languages)}
    rows = np.array([places.get(lang, -1) for lang in langs], np.int64)
    sums = np.zeros((len(languages), source.dim))
    for start in range(0, len(chosen), block):
        part, vectors = rows[start : start + block], source.vectors(chosen.positions[start : start + block])
        for row in np.unique(part[part >= 0]):
            sums[row] += vectors[part == row].sum(0, dtype=np.float64)
    if not np.isfinite(sums).all():
        raise DataError(f"{source.folder} holds NaN or infinite vectors.")
    counts = np.bincount(rows[rows >= 0], minlength=len(languages)).astype(np.int64)
    means = (sums / counts[:, None]).astype(np.float32)
    return LanguageMeans(source.tower, chosen.fingerprint, tuple(languages), counts, means, float(shrinkage))
