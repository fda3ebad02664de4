"""The one place where tower, adapter and index meet; what an app imports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mella_retrieval import languages
from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.hub import adapter_folder
from mella_retrieval.embeddings.imports import normalised
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import ImageTower, TextTower, TowerInfo, same_model
from mella_retrieval.errors import ConfigError, DataError, MismatchError
from mella_retrieval.indexes import build
from mella_retrieval.indexes.auto.folder import AUTO, build_tuned
from mella_retrieval.indexes.belonging import require_same_tower
from mella_retrieval.indexes.centring import Centring
from mella_retrieval.indexes.filters import Filter
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.manifest import ADAPTER
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.scoring.bank import Bank
from mella_retrieval.indexes.writing import Resources

if TYPE_CHECKING:
    from PIL import Image

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Hit:
    """One search result.

    Attributes:
        id: image id.
        score: inner product of query and image in the index's space, at most 1; where the index serves a hubness correction, with
            the bias of the image added.
        rank: 1 for the best.
        record: the record columns stored with the image (image path, caption ...).
    """

    id: str
    score: float
    rank: int
    record: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self)


def build_index(  # noqa: PLR0913 - the one facade over all that building may take
    vectors: EmbeddingSet,
    out: Path | str,
    recipe: IndexRecipe | None = None,
    *,
    adapter: Path | str | None = None,
    text_tower: TowerInfo | None = None,
    queries: EmbeddingSet | None = None,
    bank: EmbeddingSet | None = None,
    centring: Path | str | None = None,
    centring_to: Sequence[str] = (),
    resources: Resources | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Index:
    """Build an index of image vectors that answers queries through an adapter; no image file is read.

    Args:
        vectors: the image vectors.
        out: the index folder.
        recipe: FAISS factory string and search parameters, or `factory: auto`; exact search by default.
        adapter: folder of the adapter, or its name on a model hub; a copy is kept in the index.
        text_tower: without an adapter: the image tower's own text tower.
        queries: for `factory: auto`: texts like those that will be asked, embedded by the text tower.
        bank: for a recipe with `scoring`: reference queries, texts like those that will be asked; kept in the index.
        centring: folder of language means of the text tower (`LanguageMeans.save`): texts of a known language are moved by them
            before the adapter; a copy is kept in the index. Texts of `queries` and `bank` too, where they have a column `lang`.
        centring_to: the languages that texts are moved to; by default those the adapter was fitted on.
        resources: memory and device to build with.
        overwrite: replace an index that is there.
        say: for `factory: auto`: told what was chosen, why, and what came of it.

    Raises:
        MismatchError: the adapter belongs to another image tower, or the text tower, the texts or the means to another model.
        DataError: no vectors, text vectors, repeated ids, NaN or zero vectors, a bank that is too small.
        ConfigError: the recipe does not fit, or what `auto` was asked for cannot be met.
    """
    projection, chosen = None, None
    if adapter is not None:
        folder = adapter_folder(adapter)
        chosen = Adapter.load(folder)
        chosen.require_image_tower(vectors.tower, str(vectors.folder))
        projection, text_tower = projection_of(chosen, folder), chosen.config.text_tower
    elif text_tower is not None and (text_tower.dim != vectors.dim or not same_model(text_tower, vectors.tower)):
        raise MismatchError(f"{text_tower.spec} is not the text tower of {vectors.tower.spec}, which made {vectors.folder}.")
    if recipe is not None and recipe.factory == AUTO and recipe.scoring is not None:
        raise ConfigError("factory: auto tunes by plain cosines, which a correction changes: name the kind of index yourself.")
    if recipe is not None and recipe.factory == AUTO and (recipe.search or recipe.rerank):
        raise ConfigError("factory: auto finds search parameters and rerank itself: name the kind of index to set them.")
    means = _centring(centring, text_tower, centring_to or (chosen.config.languages if chosen else ()))
    mapping = _Mapping(text_tower, chosen, means)
    reference = Bank(mapping.texts(bank)) if bank is not None else None

    def built(place: Path | str, by: IndexRecipe | None) -> Index:
        return build.build_index(
            vectors,
            place,
            by,
            projection=projection,
            text_tower=text_tower,
            bank=reference,
            centring=means,
            resources=resources,
            overwrite=overwrite or place != out,
        )

    if recipe is None or recipe.factory != AUTO:
        return built(out, recipe)
    asked = mapping.texts(queries) if queries is not None else None
    return build_tuned(vectors, out, recipe, asked, built, projection=projection, overwrite=overwrite, say=say)


def _centring(folder: Path | str | None, tower: TowerInfo | None, to: Sequence[str]) -> Centring | None:
    if folder is None:
        return None
    if tower is None:
        raise MismatchError(f"{folder} centres texts, but the index has neither adapter nor text tower (--adapter).")
    return Centring.of(folder, tower, to)


@dataclass(frozen=True)
class _Mapping:
    """The way of text vectors into the index's space."""

    tower: TowerInfo | None
    adapter: Adapter | None
    centring: Centring | None

    def map(self, vectors: Array, langs: Sequence[str | None]) -> Array:
        """Text tower vectors (n, d_x) with their languages -> (n, d); moved by language, then through the adapter."""
        moved = self.centring.apply(vectors, langs, self.tower) if self.centring and self.tower else vectors
        if self.adapter:
            return self.adapter.map_text(moved)
        return normalised(moved, moved.shape[1], "the centred texts") if self.centring else moved

    def texts(self, texts: EmbeddingSet) -> Array:
        """Stored texts in the space of the index, unit length."""
        if self.tower is None:
            raise MismatchError(
                f"{texts.folder} cannot be asked: the index has neither adapter nor text tower (--adapter, --text-tower)."
            )
        require_same_tower(self.tower, "the index", texts.tower, str(texts.folder))
        chosen = texts.select()
        langs = chosen.column("lang") if chosen.has_column("lang") else [None] * len(chosen)
        mapped = self.map(chosen.vectors, langs)
        return normalised(mapped, mapped.shape[1], str(texts.folder))


def projection_of(adapter: Adapter, folder: Path) -> build.Projection:
    """An adapter's image side, as indexes take it."""
    dim = adapter.map_image(np.ones((1, adapter.config.image_tower.dim), np.float32)).shape[1]
    return build.Projection(adapter.map_image, dim, folder, adapter.fingerprint)


def verify_index(folder: Path | str) -> Index:
    """Read every file of an index, its adapter and its language means, and compare them with what the manifest says.

    Raises:
        ArtifactError: names the first file that is missing or differs.
        MismatchError: the adapter or the means are others than those it was built with.
    """
    retriever = Retriever.load(folder)
    retriever.index.verify()
    return retriever.index


class Retriever:
    """Search an index in any language that its text tower reads.

    The towers are loaded at the first query; they and the adapter are found through the index's manifest.

    Args:
        index: an opened index.
        adapter: the adapter it was built with, or None.
        text_tower, image_tower: specs (`sentence-transformers:/models/labse`) that replace the stored ones, for example where a
            model has moved; a tower of another model is refused.
        device: `auto`, `cpu`, `cuda`, `cuda:0`, `mps`.
        allow_module: import a `module:` class; True allows only specs that are named here, never those of the manifest.
    """

    def __init__(
        self,
        index: Index,
        adapter: Adapter | None = None,
        *,
        text_tower: str | None = None,
        image_tower: str | None = None,
        device: str = "auto",
        allow_module: bool = False,
    ) -> None:
        self.index = index
        self.adapter = adapter
        self._text_spec = text_tower
        self._image_spec = image_tower
        self._device = device
        self._allow_module = allow_module
        self._mapping = _Mapping(index.manifest.text_tower, adapter, Centring.open(index.folder, index.manifest))

    @classmethod
    def load(cls, folder: Path | str, *, index_device: str = "cpu", **options: Any) -> Retriever:
        """Open an index folder; FAISS searches on `index_device` (see `Index.load`), `options` are those of the constructor.

        Raises:
            ArtifactError: the folder is not a whole index.
            MismatchError: the adapter or the language means in it are not those it was built with.
        """
        index = Index.load(folder, index_device)
        if index.manifest.adapter is None:
            return cls(index, **options)
        adapter = Adapter.load(index.folder / ADAPTER)
        if adapter.fingerprint != index.manifest.adapter:
            raise MismatchError(
                f"{index.folder / ADAPTER} is not the adapter that {folder} was built with "
                f"({adapter.fingerprint[:12]} instead of {index.manifest.adapter[:12]})."
            )
        return cls(index, adapter, **options)

    def search(self, text: str, k: int = 10, lang: str | None = None, where: Filter | str | None = None) -> list[Hit]:
        """The k pictures that fit a text best.

        Args:
            text: the query, in any language that the text tower reads.
            k: how many.
            lang: its language code, for towers that need it, and for indexes that centre texts by language: there a text without
                one, or of a language without a mean, stays where it is.
            where: only pictures whose record fits, as `source == "know" and year >= 2010`.

        Raises:
            DataError: the text is empty, the language code unknown, or the filter names no column.
            ConfigError: the filter cannot be understood.
            EncoderError: the text tower cannot be loaded.
        """
        return self.search_texts([text], k, lang, where)[0]

    def search_texts(
        self, texts: Sequence[str], k: int = 10, lang: str | None = None, where: Filter | str | None = None
    ) -> list[list[Hit]]:
        """`search` for several texts of one language at once."""
        code = languages.normalise(lang) if lang else None
        for text in texts:
            if not text.strip() or not self.text_tower.prepare(text, code).strip():
                raise DataError(f"the query {text!r} is empty.")
        encoded = self.text_tower.encode(list(texts), [code] * len(texts) if code else None)
        return self._search(self.map_texts(encoded.pooled, [code] * len(texts)), k, where)

    def search_image(self, image: Path | str | Image.Image, k: int = 10, where: Filter | str | None = None) -> list[Hit]:
        """The k pictures most like a given one (a file or an opened picture of any mode), by plain cosines.

        Raises:
            DataError: the file cannot be read as a picture.
            EncoderError: the image tower cannot be loaded.
            MismatchError: the index holds enriched vectors, which a picture alone has not.
        """
        from mella_retrieval.data.images import read_image, upright_rgb

        picture = read_image(Path(image)) if isinstance(image, (str, Path)) else upright_rgb(image)
        encoded = self.image_tower.encode([self.image_tower.prepare(picture)])
        return self._search(self.map_images(encoded.pooled), k, where, corrected=False)[0]

    def map_texts(self, vectors: Array, langs: Sequence[str | None] | None = None) -> Array:
        """Text tower vectors (n, d_x) -> the index's space (n, d); `langs` counts where the index centres texts by language."""
        return self._mapping.map(vectors, [None] * len(vectors) if langs is None else langs)

    def map_images(self, vectors: Array) -> Array:
        """Image tower vectors (n, d_v) -> the index's space (n, d)."""
        return self.adapter.map_image(vectors) if self.adapter else vectors

    def _search(self, queries: Array, k: int, where: Filter | str | None, corrected: bool = True) -> list[list[Hit]]:
        found = self.index.search(queries, k, where=where, corrected=corrected)
        return [
            [
                Hit(match.id, match.score, rank, record)
                for rank, (match, record) in enumerate(zip(matches, found.records(query), strict=True), start=1)
            ]
            for query, matches in enumerate(found)
        ]

    @cached_property
    def text_tower(self) -> TextTower:
        """The tower for queries, checked against the manifest."""
        stored = self.index.manifest.text_tower
        if stored is None:
            raise MismatchError(
                f"{self.index.folder} was built without an adapter or a text tower: it answers pictures only. "
                "Build it again with --adapter or --text-tower."
            )
        tower = load_text_tower(
            self._text_spec or stored.spec,
            device=self._device,
            allow_module=self._allow_module and self._text_spec is not None,
        )
        require_same_tower(stored, str(self.index.folder), tower.info, "the tower that was loaded")
        return tower

    @cached_property
    def image_tower(self) -> ImageTower:
        """The tower for pictures, checked against the manifest."""
        if self.adapter is not None and self.adapter.config.slots is not None:
            raise MismatchError(
                f"{self.index.folder} holds vectors that the adapter's slots enriched with descriptions, which a picture alone "
                "does not have: ask with a text, or enrich the picture with its description and search its vector."
            )
        stored = self.index.manifest.image_tower
        tower = load_image_tower(
            self._image_spec or stored.spec,
            device=self._device,
            allow_module=self._allow_module and self._image_spec is not None,
        )
        require_same_tower(stored, str(self.index.folder), tower.info, "the tower that was loaded")
        return tower
