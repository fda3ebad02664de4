"""What models said, shard by shard, on the disk: a killed job continues, and no question is asked twice."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mella_retrieval.artifacts import Json, atomic_write, canonical_json, fingerprint, remove_leftovers, write_json
from mella_retrieval.errors import ArtifactError

log = logging.getLogger(__name__)

FAILED = "failed"
"""Key of an answer that is no answer: its value is the reason."""

Asked = tuple[Sequence[tuple[str, Any]], int]
"""id and answer of each question, and the batch size in the end."""

Ask = Callable[[list[str], int], Asked]


class Answers:
    """The answers of one model to one question.

    They stand in `WORK/NAME-KEY/00000.jsonl` ...: first a line with the batch size that the shard ended with and the number of
    answers, then one line `[id, answer]` each. The key is a hash of all that decides an answer, so that other models,
    languages and settings have folders of their own, and what they said before is found again.

    Args:
        work: folder of the job.
        name: of the question, part of the folder's name.
        key: all that decides an answer beside its id; kept in `key.json`.
        batch: the largest batch size.
        retry: ask again where a stored answer is a failure.
    """

    def __init__(self, work: Path, name: str, key: Json, batch: int, *, retry: bool = False) -> None:
        self.folder = work / f"{name}-{fingerprint(key)[:12]}"
        self._key, self._batch, self._retry = key, batch, retry
        remove_leftovers(self.folder)

    def read(self, number: int, ids: Sequence[str]) -> dict[str, Any]:
        """The stored answers of a shard to these ids, in their order.

        Raises:
            ArtifactError: one is missing; `complete` was not called.
        """
        stored = self._load(number)[0]
        missing = next((name for name in ids if name not in stored), None)
        if missing is not None:
            raise ArtifactError(f"{self._path(number)} was changed while it was needed: it has no answer for {missing!r}.")
        return {name: stored[name] for name in ids}

    def complete(self, number: int, ids: Sequence[str], ask: Ask, *, together: bool = False) -> None:
        """Have an answer stored for every id of a shard.

        Args:
            number: of the shard.
            ids: different names; in their order they are asked.
            ask: (ids to ask, batch size) -> what was answered.
            together: answers depend on one another: where not exactly these are stored, all are asked.
        """
        stored = self._load(number)[0]
        known = {name: value for name, value in stored.items() if not (self._retry and is_failure(value))}
        todo = [name for name in ids if name not in known]
        if together and set(known) != set(ids):
            known, todo = {}, list(ids)
        if not todo:
            return
        if not (self.folder / "key.json").is_file():
            write_json(self.folder / "key.json", self._key)
        pairs, batch = ask(todo, self._batch_size(number))
        known.update(pairs)
        with atomic_write(self._path(number)) as file:
            file.write(canonical_json({"batch": batch, "answers": len(known)}).encode() + b"\n")
            for name, value in known.items():
                file.write(canonical_json([name, value]).encode() + b"\n")

    def _batch_size(self, number: int) -> int:
        """At most what the shard before ended with: where memory did not suffice once, it is not tried again."""
        return min(self._batch, self._load(number - 1)[1]) if number else self._batch

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.jsonl"

    def _load(self, number: int) -> tuple[dict[str, Any], int]:
        """Answers and batch size; none of a shard that is not there, or not whole."""
        path = self._path(number)
        if not path.is_file():
            return {}, self._batch
        try:
            head, *lines = [json.loads(line) for line in path.read_bytes().splitlines()]
            answers = dict(lines)
            if head["answers"] != len(answers):
                raise ValueError(f"{len(answers)} answers of {head['answers']}")
            return answers, int(head["batch"])
        except (ValueError, TypeError, KeyError, IndexError) as error:
            log.warning("%s is damaged (%s); its questions are asked again", path, error)
            return {}, self._batch


def is_failure(value: Any) -> bool:
    """Whether a stored answer is a failure."""
    return isinstance(value, Mapping) and FAILED in value
