"""The processes of one training, as torchrun and accelerate start them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mella_retrieval.errors import ConfigError


@dataclass(frozen=True)
class Processes:
    """How many there are, and which of them this is; 0 is the one that prepares, tells and writes."""

    number: int = 1
    rank: int = 0

    @classmethod
    def here(cls) -> Processes:
        """As the environment says."""
        return cls(int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0")))

    @property
    def main(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.number > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()

    def share(self, batch: int) -> int:
        """Each process's share of a step.

        Raises:
            ConfigError: the batch cannot be shared evenly.
        """
        if batch % self.number:
            raise ConfigError(f"a batch of {batch} cannot be shared evenly by {self.number} processes: choose a multiple.")
        return batch // self.number

    def at_a_time(self, batch: int, limit: int) -> int:
        """The largest part of a process's share that divides it and is at most `limit`."""
        share = self.share(batch)
        return max(size for size in range(1, min(limit, share) + 1) if share % size == 0)
