"""Which embedding sets a training run is given, and which of their rows it may see."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from mella_retrieval.embeddings.sets import EmbeddingSet, Selection
from mella_retrieval.errors import DataError

TRAIN = ("train",)
VALIDATION = ("validation", "val", "dev")


@dataclass(frozen=True)
class Sources:
    """The embedding sets of one training run, each as `path` or `path?column=value|value&column=value`.

    A set with the column `split` gives its `train` rows unless a filter names `split` itself; test rows are never looked at.

    Attributes:
        english_text: English texts through the multilingual text tower.
        clip_text: the same texts (matched by id) through the image tower's own text tower.
        image_vectors: pictures through the image tower; pairs may also name its validation pictures.
        text_bank: texts of the target languages through the multilingual text tower.
        pairs: texts through the multilingual text tower, with the column `image_id` naming rows of `image_vectors`.
        validation: pairs for selection; without it the rows of `pairs` whose split is validation, else a tenth of its images.
        translations: texts in other languages, whose column `english_id` names rows of `english_text`.
        queries: texts like those that will be asked, through the multilingual text tower: the bank of hubness correction.
        descriptions: texts about the pictures through the multilingual text tower, with tokens and the column `image_id`.
    """

    english_text: str | None = None
    clip_text: str | None = None
    image_vectors: str | None = None
    text_bank: str | None = None
    pairs: str | None = None
    validation: str | None = None
    descriptions: str | None = None
    translations: str | None = None
    queries: str | None = None

    def named(self) -> dict[str, str]:
        """The sources that were given, by name."""
        return {name: text for name, text in asdict(self).items() if text}


@dataclass(frozen=True)
class Source:
    """An opened embedding set with its filters.

    Attributes:
        text: as the user wrote it.
        vectors: the set.
        where: wanted values by column.
    """

    text: str
    vectors: EmbeddingSet
    where: dict[str, list[str]]

    @classmethod
    def open(cls, text: str) -> Source:
        """Open `path?column=value|value&column=value`; every file of the set is compared with its stored hash.

        Raises:
            DataError: the filters are not of that form.
            ArtifactError: see `EmbeddingSet.load`.
        """
        path, _, filters = text.partition("?")
        where: dict[str, list[str]] = {}
        for part in filters.split("&") if filters else ():
            name, equals, values = part.partition("=")
            if not name or not equals:
                raise DataError(f"{text!r}: after the ? stand filters of the form column=value|value, joined by &.")
            if name in where:
                raise DataError(f"{text!r}: the column {name!r} is filtered twice; join its values by |.")
            where[name] = values.split("|")
        return cls(text, EmbeddingSet.load(Path(path), deep=True), where)

    def select(self, split: tuple[str, ...] = TRAIN, lang: str | None = None) -> Selection:
        """The wanted rows; `split` and `lang` hold where the set has these columns and no filter names them.

        Raises:
            DataError: there is no such column, or no such row.
        """
        where = dict(self.where)
        for name, values in {"split": list(split), "lang": [lang] if lang else []}.items():
            if values and name in self.vectors.table.column_names:
                where.setdefault(name, values)
        chosen = self.vectors.select(where)
        if not len(chosen):
            wanted = " and ".join(f"{name} {' or '.join(map(repr, values))}" for name, values in where.items())
            raise DataError(f"{self.text}: no row has {wanted}.")
        return chosen

    def validation(self) -> Selection | None:
        """The rows of its validation split, unless there are none or a filter gives them to training."""
        if "split" not in self.vectors.table.column_names or set(VALIDATION) & set(self.where.get("split", ())):
            return None
        chosen = self.vectors.select({**self.where, "split": list(VALIDATION)})
        return chosen if len(chosen) else None
