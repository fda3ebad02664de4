"""What a fine-tuning did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mella_retrieval.artifacts import Json


@dataclass
class Prepared:
    """What became of the records: `read` = `train` + `evaluation` + all of `skipped` and `left_out`.

    Attributes:
        read: records that were met.
        train, evaluation: conversations made of them.
        skipped: reason -> records that cannot be used; each stands in `skipped.csv`.
        left_out: reason -> records that are not to be used: other splits, sources of weight 0, more than the evaluation's limit.
        trained_on: source -> language -> conversations.
        longest: tokens of the longest conversation.
    """

    read: int = 0
    train: int = 0
    evaluation: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    trained_on: dict[str, dict[str, int]] = field(default_factory=dict)
    longest: int = 0


@dataclass
class SftReport:
    """What a fine-tuning did.

    Attributes:
        folder: of the trained model.
        model: name of what was trained.
        method: `lora`, `qlora` or `full`.
        prepared: what became of the records.
        steps: in all; `resumed_at` is how many a run before had done.
        parameters, trained_parameters: of the whole model, and those that were changed.
        batch: conversations to a step; `per_device` at a time on each of `processes` devices.
        log: lines of the training log: `step`, `loss`, `learning_rate`, `grad_norm`, `mean_token_accuracy` ..., and for
            evaluations `eval_loss`, `eval_mean_token_accuracy`.
        tokens: of all conversations of the steps done in this run, pictures and questions included, padding not.
        seconds: that those steps took, evaluation and checkpoints included.
        peak_memory: bytes on this process's CUDA device, 0 elsewhere.
    """

    folder: Path
    model: str
    method: str
    prepared: Prepared
    steps: int = 0
    resumed_at: int = 0
    parameters: int = 0
    trained_parameters: int = 0
    batch: int = 0
    per_device: int = 0
    processes: int = 1
    log: list[Json] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    peak_memory: int = 0

    def losses(self, key: str = "loss") -> list[float]:
        """The values of one key of the log, in order."""
        return [line[key] for line in self.log if key in line]

    def as_dict(self) -> Json:
        """JSON-able form."""
        return {**vars(self), "folder": str(self.folder), "prepared": vars(self.prepared)}
