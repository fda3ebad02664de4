"""Language means that lie in an index: texts are moved by them before the adapter sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.centring import LanguageMeans
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ConfigError, MismatchError
from mella_retrieval.indexes.manifest import CENTRING, CentringEntry, IndexManifest

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Centring:
    """Means of languages, and the languages that texts are moved to.

    Attributes:
        folder: of the means, see `LanguageMeans.save`.
        to: the languages that the adapter was fitted on.
    """

    folder: Path
    to: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path | str, tower: TowerInfo, to: Sequence[str]) -> Centring:
        """Check means against the text tower of an index; of the languages in `to`, those with a mean count.

        Raises:
            ArtifactError: `folder` holds no means, or damaged ones.
            MismatchError: they are another tower's.
            ConfigError: no language in `to` has a mean.
        """
        means = LanguageMeans.load(folder)
        means.require_tower(tower, "the index")
        known = tuple(code for code in to if code in means.languages)
        if not known:
            raise ConfigError(
                f"{folder} has no mean of a language that the adapter was fitted on ({', '.join(to) or 'none is known'}); it has "
                f"means of {', '.join(means.languages)}. Name the languages that texts are to be moved to (centring_to)."
            )
        return cls(Path(folder), known)

    @classmethod
    def open(cls, folder: Path, manifest: IndexManifest) -> Centring | None:
        """The means that lie in an index; None where there are none.

        Raises:
            ArtifactError: they are damaged.
            MismatchError: they are not those it was built with.
        """
        if manifest.centring is None:
            return None
        found = cls(folder / CENTRING, tuple(manifest.centring.to))
        if found.means.fingerprint != manifest.centring.fingerprint:
            raise MismatchError(f"{found.folder} does not hold the language means that {folder} was built with.")
        return found

    @cached_property
    def means(self) -> LanguageMeans:
        """The stored means."""
        return LanguageMeans.load(self.folder)

    @property
    def entry(self) -> CentringEntry:
        """For the manifest."""
        return CentringEntry(fingerprint=self.means.fingerprint, to=list(self.to))

    def apply(self, vectors: Array, langs: Sequence[str | None], tower: TowerInfo) -> Array:
        """Text vectors (n, d), moved; those without a language, or whose language has no mean, stay where they are."""
        return self.means.apply(vectors, [lang or "" for lang in langs], tower, self.to).vectors
