"""Records as questions and answers, and where they are kept until they are trained on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from mella_retrieval import languages
from mella_retrieval.data.records import Records, Rejected, Where, is_url
from mella_retrieval.data.stats import SPLIT
from mella_retrieval.data.text import excerpt
from mella_retrieval.errors import ArtifactError, ConfigError, DataError
from mella_retrieval.mllm.prompts import SOURCES, Prompts
from mella_retrieval.mllm.sft.drawing import HeldOut
from mella_retrieval.mllm.sft.recipe import SftRecipe

log = logging.getLogger(__name__)

CHUNK = 2048
_COLUMNS = ("text_id", "image_id", "image", "text", "lang", "source")

TRAIN, EVALUATION = "train", "validation"


@dataclass(slots=True)
class Example:
    """A record as a question and its answer.

    Attributes:
        text_id, image, lang, source: of the record.
        asked: whose prompts ask for it, `know` or `ling`.
        answer: its text.
        part: `TRAIN` or `EVALUATION`.
        tokens: of the whole conversation with the longest of its prompts.
    """

    text_id: str
    image: str
    lang: str
    source: str
    asked: str
    answer: str
    part: str
    tokens: int = 0


SCHEMA = pa.schema([(name, pa.int64() if name == "tokens" else pa.string()) for name in Example.__dataclass_fields__])


@dataclass
class Reading:
    """Reads records in chunks, each row of which becomes an example, or is rejected, or is not to be used (`left_out`)."""

    records: Records
    recipe: SftRecipe
    prompts: Prompts
    where: Where | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    read: int = 0
    total: int = 0

    def chunks(self) -> Iterator[list[Example | Rejected]]:
        """All examples and rejected rows.

        Raises:
            ConfigError: there are no prompts for a language or source that occurs.
        """
        held_out = self._held_out()
        for rows in self._rows():
            self.read += len(rows)
            found = [self._of(row, held_out) for row in rows]
            yield [one for one in found if one is not None]

    def _rows(self) -> Iterator[list[dict[str, str]]]:
        split = [SPLIT] if SPLIT in self.records.schema.names else []
        for batch in self.records.batches(CHUNK, [*_COLUMNS, *split], self.where):
            yield [{name: str(value or "") for name, value in row.items()} for row in batch.to_pylist()]

    def _held_out(self) -> HeldOut:
        """Of the pictures to train on, where there is no split for evaluation; counts the rows and their sources on the way."""
        splits, names, sources = set[str](), list[str](), set[str]()
        for rows in self._rows():
            self.total += len(rows)
            splits.update(row.get(SPLIT, "") for row in rows)
            sources.update(row["source"] for row in rows)
            names += (_picture(row) for row in rows if not self._not_wanted(row) and not self._problem(row))
        self._tell_of_idle_weights(sources)
        share = 0 if EVALUATION in splits else self.recipe.evaluation.share
        return HeldOut(names, share, self.recipe.seed)

    def _tell_of_idle_weights(self, sources: set[str]) -> None:
        for name, weight in self.recipe.weights.items():
            if name not in sources and weight != 1:
                log.warning("weights.%s=%g does nothing: no record is of the source %s", name, weight, name)

    def _of(self, row: dict[str, str], held_out: HeldOut) -> Example | Rejected | None:
        if reason := self._not_wanted(row):
            self.left_out[reason] += 1
            return None
        if problem := self._problem(row):
            return Rejected(row["text_id"], problem, excerpt(row["text"]))
        asked = self._asked(row)
        part = EVALUATION if row.get(SPLIT) == EVALUATION or _picture(row) in held_out else TRAIN
        return Example(row["text_id"], row["image"], row["lang"], row["source"], asked, row["text"], part)

    def _not_wanted(self, row: dict[str, str]) -> str:
        """Why a row is not to be used."""
        split = row.get(SPLIT, "")
        if split not in ("", TRAIN, EVALUATION):
            return f"of the split {split}"
        return "" if self.recipe.weights.get(row["source"], 1.0) else f"of the source {row['source']}, whose weight is 0"

    def _problem(self, row: dict[str, str]) -> str:
        """Why a row cannot be used, as far as the row says."""
        if not row["text"].strip():
            return "no text"
        try:
            languages.normalise(row["lang"])
        except DataError as error:
            return f"unknown language: {excerpt(error)}"
        if not self.recipe.images:
            return ""
        if not row["image"]:
            return "no picture: images=false trains without"
        return f"the picture is a URL: {excerpt(row['image'])}" if is_url(row["image"]) else ""

    def _asked(self, row: dict[str, str]) -> str:
        source = row["source"]
        asked = self.recipe.sources.get(source, source)
        if asked not in SOURCES:
            raise ConfigError(
                f"there are records of the source {source!r} (the first is {row['text_id']}): say with sources.NAME=ling whose "
                f"prompts ask for their texts, {' or '.join(SOURCES)}, or leave them out with weights.NAME=0."
            )
        self.prompts.of(row["lang"], asked)  # said before the long work if there are none
        return asked


def _picture(row: dict[str, str]) -> str:
    """What a text is held out with."""
    return row["image_id"] or row["text_id"]


class Examples:
    """Stored examples; they stay on the disk (memory-mapped) until they are asked for."""

    def __init__(self, path: Path) -> None:
        """Open what `ExampleWriter` wrote.

        Raises:
            ArtifactError: it is missing or damaged.
        """
        self._path = path
        try:
            self._table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise ArtifactError(f"{path} cannot be read ({error}); remove its folder and begin again.") from None

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, row: int) -> Example:
        return Example(**{name: self._table[name][row].as_py() for name in SCHEMA.names})

    def column(self, name: str) -> pa.ChunkedArray:
        """All values of one attribute."""
        return self._table[name]

    def __getstate__(self) -> Path:
        return self._path  # processes that read pictures open the file themselves

    def __setstate__(self, path: Path) -> None:
        Examples.__init__(self, path)
