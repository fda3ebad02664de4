"""How one fit is carried out: where it computes, where it keeps what a killed run continues from, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int], None]

CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class Run:
    """What a method is told beside its inputs and options; none of it changes the weights on a CPU.

    Attributes:
        progress: called with (rounds done, rounds).
        device: `auto` (CUDA, then MPS, then the CPU), or a name such as `cuda:1`.
        checkpoints: folder of the state that a killed run continues from; None: it starts again.
        checkpoint_seconds: at most so much work is lost.
        tensorboard: folder of TensorBoard events; None: none are written.
        in_memory: vectors in memory, or memory-mapped; None: in memory if they take less than half of what is free.
        job: identity of the fit; a checkpoint of another job is not continued.
    """

    progress: Progress | None = None
    device: str = "cpu"
    checkpoints: Path | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    tensorboard: Path | None = None
    in_memory: bool | None = None
    job: str = ""

    def tell(self, done: int, total: int) -> None:
        """Report progress to whoever listens."""
        if self.progress:
            self.progress(done, total)

    def part(self, number: int) -> Run:
        """The run of one part of a fit: it keeps its own checkpoints and events, and progress is told by the whole."""
        checkpoints, tensorboard = (
            folder / f"part-{number}" if folder else None for folder in (self.checkpoints, self.tensorboard)
        )
        job = f"{self.job} part {number}"
        return replace(self, progress=None, checkpoints=checkpoints, tensorboard=tensorboard, job=job)

    def place(self) -> torch.device:
        """The device to compute on.

        Raises:
            EncoderError: no such device here.
        """
        from mella_retrieval.encoders.torch_towers import find_device

        return find_device(self.device)
