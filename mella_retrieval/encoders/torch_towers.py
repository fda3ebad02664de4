"""What all towers that run in torch share: devices, precision, freezing, the weights' hash, batches of pictures."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.encoders.towers import Encoded, Float32, TowerInfo, normalise_rows
from mella_retrieval.errors import ConfigError, EncoderError
from mella_retrieval.recipes import suggest

PRECISIONS: Mapping[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class LoadRequest:
    """What a loader is asked for.

    Attributes:
        spec: which tower.
        device: where it runs.
        precision: a key of `PRECISIONS`.
        trust_remote_code: whether code that lies beside the weights may run.
        allow_module: whether a `module:` class may be imported.
    """

    spec: EncoderSpec
    device: torch.device
    precision: str = "fp32"
    trust_remote_code: bool = False
    allow_module: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch names it."""
        return PRECISIONS[self.precision]


def empty_cache() -> None:
    """Give back the memory of the device that no tensor holds any more."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def find_device(name: str = "auto") -> torch.device:
    """The device of that name: `auto` (CUDA, else Apple's MPS, else the CPU), `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        EncoderError: this machine has no such device, or the name is none.
    """
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    kind, _, index = name.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (index and not (kind == "cuda" and index.isdecimal())):
        raise EncoderError(f"{name!r} is no device; use auto, cpu, cuda, cuda:N or mps.")
    if kind == "mps" and not has_mps:
        raise EncoderError("this machine has no device mps (Apple); use device auto or cpu.")
    if kind == "cuda":
        count = torch.cuda.device_count()
        if not torch.cuda.is_available() or not count:
            raise EncoderError(f"device {name!r}: torch sees no CUDA device on this machine; use device auto or cpu.")
        if index and int(index) >= count:
            raise EncoderError(f"device {name!r}: this machine has {count} CUDA devices, cuda:0 to cuda:{count - 1}.")
    return torch.device(name)


def check_precision(name: str) -> str:
    """Return `name` if it is a known precision.

    Raises:
        ConfigError: it is not.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"{name!r} is no precision.{suggest(name, PRECISIONS)} Known: {', '.join(PRECISIONS)}.")
    return name


def weights_hash(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of a state dict, in the order of the names.

    Independent of the device and of the file that the weights came from; take it before weights are cast or dropped.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            flat = tensor.cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(flat.numpy().data)
    return digest.hexdigest()


def freeze(model: nn.Module, request: LoadRequest) -> None:
    """Put a model into eval mode without gradients, on the request's device and in its precision."""
    model.eval().requires_grad_(False)
    model.to(device=request.device, dtype=request.dtype)


def to_float32(tensor: torch.Tensor) -> Float32:
    """A tensor of any device and precision as a float32 array."""
    array: Float32 = tensor.detach().to(device="cpu", dtype=torch.float32).numpy()
    return array


def empty(dim: int, tokens: bool) -> Encoded:
    """What a tower returns for no input."""
    return Encoded(np.zeros((0, dim), np.float32), [] if tokens else None)


class TorchImageTower(ABC):
    """An image tower whose model takes one stacked batch of pictures; subclasses prepare one and run the model."""

    def __init__(self, info: TowerInfo, request: LoadRequest) -> None:
        self.info = info
        self._device, self._dtype = request.device, request.dtype

    def encode(self, batch: Sequence[torch.Tensor], tokens: bool = False) -> Encoded:
        """See `ImageTower`."""
        if not batch:
            return empty(self.info.dim, tokens)
        shape = batch[0].shape
        for position, picture in enumerate(batch):
            if picture.shape != shape:
                raise EncoderError(
                    f"prepared picture {position} has shape {tuple(picture.shape)}, the first one {tuple(shape)}: "
                    f"{self.info.spec} must prepare all pictures to one shape."
                )
        pixels = torch.stack(list(batch))
        with torch.inference_mode():
            pixels = pixels.to(self._device, self._dtype if pixels.is_floating_point() else None)
            pooled, states = self._run(pixels, tokens)
        return Encoded(
            normalise_rows(to_float32(pooled), f"{self.info.spec}: the vector of picture"),
            None if states is None else [to_float32(state) for state in states],
        )

    def pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pooled vectors (n, d) of stacked prepared pictures, not normalised, as the model gives them; for export."""
        return self._run(pixels, tokens=False)[0]

    @abstractmethod
    def _run(self, pixels: torch.Tensor, tokens: bool) -> tuple[torch.Tensor, Iterable[torch.Tensor] | None]:
        """Pooled vectors (n, d) and, where asked for, per picture its token vectors (t, d_t)."""


def unpadded(states: torch.Tensor, lengths: Sequence[int], side: str = "right") -> list[Float32]:
    """Split (n, length, d) hidden states into one array per text, without padding on the given side."""
    arrays = to_float32(states)
    width = arrays.shape[1]
    return [
        (row[width - length :] if side == "left" else row[:length]).copy()
        for row, length in zip(arrays, (min(length, width) for length in lengths), strict=True)
    ]
