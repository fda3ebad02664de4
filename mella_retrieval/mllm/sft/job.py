"""What one fine-tuning is: its inputs, its identity and its work folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mella_retrieval.artifacts import Json, new_folder, read_json, remove_leftovers, write_json
from mella_retrieval.data.records import Records, Where
from mella_retrieval.encoders.transformers_models import Identity
from mella_retrieval.errors import ArtifactError
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.sft.preparing import PREPARED
from mella_retrieval.mllm.sft.processes import Processes
from mella_retrieval.mllm.sft.recipe import SftRecipe

_JOB, _MEMORY = "job.json", "memory.json"


@dataclass(frozen=True)
class Job:
    """One fine-tuning.

    Attributes:
        model, revision: what is trained, as it is loaded.
        identity: its name and fingerprint.
        records, where: what it is trained on.
        recipe, prompts: how.
        precision: of the computation, `fp32` or `bf16`.
        work: folder of what a killed run continues from.
        processes: that do it.
    """

    model: str
    revision: str | None
    identity: Identity
    records: Records
    where: Where | None
    recipe: SftRecipe
    prompts: Prompts
    precision: str
    work: Path
    processes: Processes

    def made_by(self) -> Json:
        """All that decides the outcome, without paths of this machine."""
        recipe = self.recipe.lasting | {"precision": self.precision}
        if recipe["prompts"]:
            recipe["prompts"] = Path(recipe["prompts"]).name
        return {
            "base": {"name": self.identity.name, "fingerprint": self.identity.fingerprint},
            "recipe": recipe,
            "prompts": self.prompts.fingerprint,
            "records": self.records.fingerprint,
            "where": {name: _plain(value) for name, value in (self.where or {}).items()},
        }

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the work folder. It stays when the block ends with an error, unless not even the records were prepared.

        Raises:
            ArtifactError: another job's states lie there (what differs is named), or what no job wrote.
        """
        self._claim()
        try:
            yield
        finally:
            if self.work.exists() and not self._prepared:
                with suppress(ArtifactError):
                    self.finish()

    def finish(self) -> None:
        """Remove the work folder: in one step it is empty, so that a kill leaves no part of it to continue from."""
        with new_folder(self.work, overwrite=True):
            pass
        self.work.rmdir()

    @property
    def _prepared(self) -> bool:
        return (self.work / PREPARED).is_file()

    def _claim(self) -> None:
        remove_leftovers(self.work.parent, self.work.name)
        path, own = self.work / _JOB, self.made_by()
        own["recipe"].pop("save")  # whether it is merged in the end is nothing to the training
        if not path.is_file() and self.work.exists() and any(self.work.iterdir()):
            raise ArtifactError(
                f"{self.work} is where this training would keep its states, and what lies there is of no training: move it "
                "away, or choose another name."
            )
        if not self._prepared:
            with new_folder(self.work, overwrite=True) as folder:
                write_json(folder / _JOB, own)
        elif differences := _differences(read_json(path), own):
            raise ArtifactError(
                f"{self.work} holds an unfinished training that is not this one: {'; '.join(differences)}. Run that one again "
                "to continue it, or remove the folder, or choose another name."
            )

    @property
    def per_device(self) -> int:
        """Conversations at a time: of the recipe, or fewer where memory was not enough before."""
        known = read_json(self.work / _MEMORY)["per_device"] if (self.work / _MEMORY).is_file() else self.recipe.per_device
        return self.processes.at_a_time(self.recipe.batch, min(known, self.recipe.per_device))

    def remember(self, per_device: int) -> None:
        """Memory was not enough for more."""
        write_json(self.work / _MEMORY, {"per_device": per_device})


def _differences(stored: Any, own: Any, path: str = "") -> list[str]:
    if isinstance(stored, dict) and isinstance(own, dict):
        keys = [*stored, *(key for key in own if key not in stored)]
        return [line for key in keys for line in _differences(stored.get(key), own.get(key), f"{path}.{key}".lstrip("."))]
    return [] if stored == own else [f"{path} was {stored}, now it is {own}"]


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else list(value) if isinstance(value, tuple) else value
