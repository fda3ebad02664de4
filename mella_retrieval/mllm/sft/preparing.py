"""Before training: every record becomes an example or is listed with the reason why not, so that nothing fails on the way."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from mella_retrieval.artifacts import read_json, write_json
from mella_retrieval.data.records import SKIPPED, Records, Rejected
from mella_retrieval.data.text import excerpt
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.mllm.sft.conversations import Conversations
from mella_retrieval.mllm.sft.drawing import Rows
from mella_retrieval.mllm.sft.examples import EVALUATION, SCHEMA, Example, Examples, Reading
from mella_retrieval.mllm.sft.lengths import Lengths
from mella_retrieval.mllm.sft.pictures import sizes
from mella_retrieval.mllm.sft.report import Prepared

EXAMPLES, PREPARED = "examples.arrow", "prepared.json"


@dataclass
class Preparing:
    """Makes the examples of one job in its work folder.

    Attributes:
        work: the folder.
        reading: of the records.
        conversations: of the model.
        lengths: of its conversations.
        max_length: tokens of the longest conversation that is trained on.
    """

    work: Path
    reading: Reading
    conversations: Conversations
    lengths: Lengths
    max_length: int
    _found: Prepared = field(default_factory=Prepared)
    _skipped: Counter[str] = field(default_factory=Counter)

    def run(self, progress: Callable[[int, int], None] | None = None) -> Prepared:
        """Prepare all records, unless that was done before.

        Raises:
            DataError: nothing is left to train on. ConfigError: prompts are missing.
        """
        if not (self.work / PREPARED).is_file():
            self._write(progress)
        return stored(self.work)

    def _write(self, progress: Callable[[int, int], None] | None) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        with (
            (self.work / SKIPPED).open("w", encoding="utf-8", newline="") as skipped,
            pa.OSFile(str(self.work / EXAMPLES), "wb") as file,
            pa.ipc.new_file(file, SCHEMA) as examples,
        ):
            rows = csv.writer(skipped, lineterminator="\n")
            rows.writerow(("where", "reason", "excerpt"))
            for chunk in self.reading.chunks():
                done = list(self._chunk(chunk))
                kept = [one for one in done if isinstance(one, Example)]
                rows.writerows(
                    (excerpt(one.where), excerpt(one.reason, 400), one.excerpt) for one in done if isinstance(one, Rejected)
                )
                if kept:
                    columns = [pa.array([getattr(one, name) for one in kept], SCHEMA.field(name).type) for name in SCHEMA.names]
                    examples.write_batch(pa.record_batch(columns, schema=SCHEMA))
                if progress:
                    progress(self.reading.read, self.reading.total)
        self._finish()

    def _finish(self) -> None:
        found, limit = self._found, self.reading.recipe.evaluation.limit
        left_out = self.reading.left_out
        if found.evaluation > limit:
            left_out[f"held out, more than {limit}"] = found.evaluation - limit
            found.evaluation = limit
        found.read, found.skipped, found.left_out = self.reading.read, dict(sorted(self._skipped.items())), dict(left_out)
        if not found.train:
            reasons = ", ".join(f"{count} x {reason}" for reason, count in [*self._skipped.items(), *left_out.items()])
            held_out = f"; held out: {found.evaluation} (none with evaluation.share=0)" if found.evaluation else ""
            raise DataError(f"none of the {found.read} records can be trained on: {reasons or 'there are none'}{held_out}.")
        write_json(self.work / PREPARED, vars(found))

    def _chunk(self, chunk: list[Example | Rejected]) -> Iterator[Example | Rejected]:
        """The chunk with what pictures, marks and lengths say about it, counted."""
        examples = [one for one in chunk if isinstance(one, Example)]
        pictures = self._pictures(self.reading.records, examples)
        counted = self.lengths.count([(self._prompts(one), one.answer) for one in examples])
        tokens = {id(one): count for one, count in zip(examples, counted, strict=True)}
        for one in chunk:
            checked = one if isinstance(one, Rejected) else self._checked(one, tokens[id(one)], pictures.get(one.image, 0))
            self._count(checked)
            yield checked

    def _prompts(self, example: Example) -> tuple[str, ...]:
        prompts = self.reading.prompts.of(example.lang, example.asked)
        if mark := self.conversations.mark_in("\n".join(prompts)):
            where = f"{self.reading.prompts.where}, {example.lang}, {example.asked}"
            raise ConfigError(f"{where}: a template has a mark of the model's in it, {mark}. Leave it out.")
        return prompts

    def _pictures(self, records: Records, examples: list[Example]) -> dict[str, int | str]:
        """Tokens that each picture adds, or what is wrong with it."""
        if not self.reading.recipe.images:
            return {}
        images = list(dict.fromkeys(one.image for one in examples))
        found = sizes((records.image_path(image) for image in images), self.reading.recipe.picture)
        return {
            image: f"the picture cannot be read: {size}" if isinstance(size, str) else self.lengths.of_picture(size)
            for image, size in zip(images, found, strict=True)
        }

    def _checked(self, example: Example, tokens: int, picture: int | str) -> Example | Rejected:
        if isinstance(picture, str):
            return Rejected(example.text_id, picture, excerpt(example.answer))
        if mark := self.conversations.mark_in(example.answer):
            return Rejected(example.text_id, f"a mark of the model's stands in the text: {mark}", excerpt(example.answer))
        example.tokens = tokens + picture
        if example.tokens > self.max_length:
            reason = f"too long: {example.tokens} tokens, max_length is {self.max_length}"
            return Rejected(example.text_id, reason, excerpt(example.answer))
        return example

    def _count(self, one: Example | Rejected) -> None:
        found = self._found
        if isinstance(one, Rejected):
            self._skipped[one.reason.partition(":")[0]] += 1
            return
        found.longest = max(found.longest, one.tokens)
        if one.part == EVALUATION:
            found.evaluation += 1
            return
        found.train += 1
        of_source = found.trained_on.setdefault(one.source, {})
        of_source[one.lang] = of_source.get(one.lang, 0) + 1


def stored(work: Path) -> Prepared:
    """What `Preparing` counted."""
    return Prepared(**read_json(work / PREPARED))


def rows_of(examples: Examples, part: str) -> Rows:
    """Rows of one part, `TRAIN` or `EVALUATION`, in stored order."""
    return np.flatnonzero(np.asarray(examples.column("part").to_pylist()) == part)
