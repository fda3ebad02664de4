"""The state of a fit on disk, from which a killed run continues to the weights of an undisturbed one."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mella_retrieval.artifacts import atomic_write

log = logging.getLogger(__name__)

FILE = "checkpoint.safetensors"
State = dict[str, Tensor]


class Checkpoint:
    """One file, replaced atomically: weights, optimiser, best weights so far, random state and place in the schedule.

    Args:
        folder: where it lies.
        job: identity of the fit.
    """

    def __init__(self, folder: Path, job: str) -> None:
        self.path = folder / FILE
        self.job = job

    def save(
        self, module: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator, best: State, place: dict[str, Any]
    ) -> None:
        """Write the whole state; `place` is JSON-able."""
        from safetensors.torch import save

        tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for number, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        tensors["generator"] = generator.get_state()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = save(
            {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()},
            {"place": json.dumps(place), "job": self.job},
        )
        with atomic_write(self.path) as file:
            file.write(data)

    def load(
        self, module: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator
    ) -> tuple[State, dict[str, Any]] | None:
        """Bring all into the stored state; returns the best weights and the place, or None if there is nothing to continue."""
        from safetensors import SafetensorError, safe_open

        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                notes = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        except (SafetensorError, OSError) as error:
            log.warning("%s cannot be read (%s): training starts from the beginning", self.path, error)
            return None
        if notes.get("job") != self.job:
            log.warning("%s belongs to another training: it is not continued", self.path)
            return None
        module.load_state_dict(_under("module.", tensors))
        states: dict[int, State] = {}
        for name, value in _under("optimiser.", tensors).items():
            number, _, key = name.partition(".")
            states.setdefault(int(number), {})[key] = value
        optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
        generator.set_state(tensors["generator"])
        return _under("best.", tensors), json.loads(notes["place"])

    def remove(self) -> None:
        """Forget the state: the fit is finished."""
        self.path.unlink(missing_ok=True)


def _under(prefix: str, tensors: State) -> State:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
