"""TRL's trainer as it is used here: nothing is printed or sent anywhere, and states are marked when they are whole."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mella_retrieval.artifacts import Json
from mella_retrieval.errors import TrainingError
from mella_retrieval.mllm.extra import mllm_package
from mella_retrieval.mllm.sft.checkpoints import mark_whole

_TIMED = ("runtime", "per_second", "flos", "num_tokens", "train_loss")


@cache
def trainer_class() -> Any:
    """TRL's `SFTTrainer` without telemetry and model cards of its own."""

    class Tuner(mllm_package("trl").SFTTrainer):  # type: ignore[misc]
        def _send_telemetry(self) -> None:
            """Nobody is told."""

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """The finished folder has a card; states have none."""

        @property
        def tokens(self) -> int:
            """Of the conversations of this run's steps, in all processes; padding is none."""
            return int(self._total_train_tokens)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            """Whole weights are stored under the names of their hub, which the Trainer's own way passes over in silence."""
            if hasattr(self.model, "peft_config"):
                super()._load_from_checkpoint(resume_from_checkpoint, model)
                return
            stored = type(self.model).from_pretrained(resume_from_checkpoint, dtype=self.model.dtype)
            self.model.load_state_dict(stored.state_dict())

    return Tuner


def lines(history: list[Json]) -> list[Json]:
    """The log without what depends on the machine's speed or on where a run was interrupted."""
    kept = [{key: value for key, value in line.items() if not key.endswith(_TIMED)} for line in history]
    return [line for line in kept if line.keys() - {"step", "epoch"}]


@dataclass
class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells of progress, keeps a log that can be read meanwhile, and marks states.

    Attributes:
        work: folder of the log and of `checkpoints`.
        main: whether this is the process that writes.
        wait: until all processes are here.
        progress: told (steps done, steps).
    """

    work: Path
    main: bool
    wait: Callable[[], None]
    progress: Callable[[int, int], None] | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """A state is stored together with its line of the log: else the next line would tell of fewer steps after a kill."""
        control.should_log |= control.should_save
        if self.main and self.progress:
            self.progress(state.global_step, state.max_steps)
        return control

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the log as it stands.

        Raises:
            TrainingError: the loss is no number any more.
        """
        if self.main:
            text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines(state.log_history))
            (self.work / "log.jsonl").write_text(text, encoding="utf-8")
        if not math.isfinite(state.log_history[-1].get("loss", 0.0)):
            raise TrainingError(
                f"the loss of step {state.global_step} is no number: use a lower learning_rate, or precision=fp32. Remove "
                f"{self.work} before you begin again."
            )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the state once every process has written its share."""
        self.wait()
        if self.main:
            mark_whole(self.work / "checkpoints", state.global_step)
