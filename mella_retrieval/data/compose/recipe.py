"""The recipe of a composed records folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mella_retrieval.data.near.texts import SIMILARITY
from mella_retrieval.recipes import Strict

NEAR_IMAGES = 6
"""Bits in which the hashes of one picture may differ. Wider than in collecting, where a false alarm costs a picture.

On 400 photos: all of those rescaled, compressed to quality 20 or cropped by 2 % around the middle, and not one false pair.
"""

Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class SourceOptions(Strict):
    """One of the records folders that are mixed; a plain path stands for `{path: PATH}`.

    Attributes:
        path: the records folder.
        weight: its share relative to the other sources; all sources have one, or none has.
        where: column -> value or list of values: only these records.
        source: the column `source` of its records; the name under which it stands in the recipe by default.
    """

    path: Path
    weight: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    where: dict[str, Any] = Field(default_factory=dict)
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _plain_path(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str | Path) else value


class Balance(Strict):
    """Languages, within each source.

    Attributes:
        alpha: a language's share grows with its count to this power: 1 leaves them as they are, 0 makes them even.
        cap: at most so many of each language.
    """

    alpha: float = Field(default=1, ge=0, le=1)
    cap: int | None = Field(default=None, ge=1)


class Splits(Strict):
    """Sizes of the splits beside `train`, which gets the rest: shares of the records (below 1), or numbers of records."""

    validation: Share = 0.05
    test: Share = 0.05

    @field_validator("validation", "test", mode="before")
    @classmethod
    def _share_or_number(cls, value: object) -> object:
        if isinstance(value, float) and value >= 1:  # 1.0 would be one record
            raise ValueError(f"it is a share below 1 or a whole number of records, not {value}")
        return value

    @model_validator(mode="after")
    def _leave_something(self) -> Self:
        if sum(value for value in (self.validation, self.test) if value < 1) >= 1:
            raise ValueError("validation and test leave nothing for train")
        return self


class Duplicates(Strict):
    """What counts as the same and must stand in one split, and apart from the sets named in `disjoint_from`.

    Attributes:
        images: bits in which the perceptual hashes of one picture may differ; null: only equal files are the same.
        texts: share of their shingles that near-equal texts have in common; 1: only texts equal but for case, width and white
            space; null: texts are not looked at.
        stock: a text that stands (with its near-equals) at more pictures than this is a stock phrase and joins nothing.
    """

    images: int | None = Field(default=NEAR_IMAGES, ge=0, le=16)
    texts: float | None = Field(default=SIMILARITY, gt=0.3, le=1)
    stock: int = Field(default=10, ge=1)


class ComposeRecipe(Strict):
    """What is mixed, how, and how it is split.

    Attributes:
        sources: name -> records folder; the order counts: of equal records the first is kept.
        count: what weights, size and languages count: records, or pictures (a picture once for each language of its texts).
        size: how many in all; null: as many as there are, and with weights, caps or an alpha as many as meet these exactly.
        languages: balance of the languages.
        splits: sizes of the splits.
        duplicates: what is the same.
        disjoint_from: records folders (benchmarks) of which neither a picture nor a text may be met.
        seed: decides what is drawn and which split it goes to.
        copy_images: copy the picture files, so that the folder can be moved alone.
    """

    sources: dict[str, SourceOptions]
    count: Literal["records", "pictures"] = "records"
    size: int | None = Field(default=None, ge=1)
    languages: Balance = Balance()
    splits: Splits = Splits()
    duplicates: Duplicates = Duplicates()
    disjoint_from: list[Path] = Field(default_factory=list)
    seed: int = Field(default=0, ge=0)
    copy_images: bool = False

    @model_validator(mode="after")
    def _sources_and_weights(self) -> Self:
        if not self.sources:
            raise ValueError("sources is empty: name the records folders, sources.know=PATH sources.ling=PATH")
        without = [name for name, source in self.sources.items() if source.weight is None]
        if without and len(without) < len(self.sources):
            raise ValueError(f"a weight for all sources or for none: {', '.join(without)} has none")
        return self
