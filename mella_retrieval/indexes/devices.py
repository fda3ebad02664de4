"""Where an index is trained, filled and searched: the processor, or one or several GPUs. Errors name what there is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from mella_retrieval.errors import ConfigError, MissingDependencyError
from mella_retrieval.indexes.library import faiss
from mella_retrieval.recipes import Strict
from mella_retrieval.sizes import parse_size

MOST_TEMPORARY = 1536 << 20
"""Bytes: FAISS never sets aside more than this on a GPU (`StandardGpuResources::setTempMemory`)."""


@dataclass(frozen=True)
class Devices:
    """The processor, or GPUs by number.

    Attributes:
        gpus: as CUDA numbers them; none for the processor.
        automatic: whether they were found and not asked for; what a GPU cannot do is then left to the processor.
    """

    gpus: tuple[int, ...] = ()
    automatic: bool = False

    @classmethod
    def parse(cls, text: str) -> Devices:
        """Read `auto`, `cpu`, `cuda` (the first GPU), `cuda:0` or `cuda:0,1`.

        `auto` takes all GPUs that FAISS sees, and the processor where it sees none.

        Raises:
            ConfigError: another text, a number twice, or more GPUs than there are.
            MissingDependencyError: the installed FAISS has no GPU support.
        """
        if text == "cpu":
            return cls()
        if text == "auto":
            return cls(tuple(range(gpu_count())), automatic=True)
        matched = re.fullmatch(r"cuda(?::(\d+(?:,\d+)*))?", text)
        if matched is None:
            raise ConfigError(f"FAISS searches on auto, cpu, cuda, cuda:0 or cuda:0,1, not on {text!r}.")
        gpus = tuple(int(number) for number in (matched[1] or "0").split(","))
        if len(set(gpus)) < len(gpus):
            raise ConfigError(f"{text!r} names a GPU twice; more copies of the vectors on one GPU do not make it faster.")
        _require(gpus, text)
        return cls(gpus)

    def __str__(self) -> str:
        return f"cuda:{','.join(map(str, self.gpus))}" if self.gpus else "cpu"


CPU = Devices()


def has_gpu_support() -> bool:
    """Whether the installed FAISS is the one for GPUs, whatever the machine has."""
    return hasattr(faiss(), "StandardGpuResources")


def gpu_count() -> int:
    """How many GPUs the installed FAISS can use."""
    return int(faiss().get_num_gpus()) if has_gpu_support() else 0


def _require(gpus: tuple[int, ...], text: str) -> None:
    if not has_gpu_support():
        raise MissingDependencyError(
            f"the installed FAISS has no GPU support, so there is no {text}: on Linux with an NVIDIA GPU run "
            "`pip uninstall faiss-cpu` and `pip install mella-retrieval[gpu]`, or use --index-device cpu."
        )
    found = gpu_count()
    if max(gpus) >= found:
        seen = f"FAISS sees {found} GPUs, numbered from 0" if found > 1 else "FAISS sees one GPU, cuda:0" if found else (
            "FAISS sees no GPU (is NVIDIA's driver there, does CUDA_VISIBLE_DEVICES hide it?)"
        )  # fmt: skip
        raise ConfigError(f"{seen}, so there is no {text}. Use one that is there, or --index-device cpu.")


def _bounded(value: Any) -> Any:
    try:
        size = parse_size(value) if isinstance(value, str) else value
    except ConfigError as error:
        raise ValueError(str(error)) from None
    if isinstance(size, int) and not isinstance(size, bool) and not 0 < size <= MOST_TEMPORARY:
        raise ValueError(f"temporary memory lies above 0 and at most 1536MiB, which is FAISS's own limit (got {value!r})")
    return size


class GpuOptions(Strict):
    """How an index lies on GPUs.

    Attributes:
        float16: vectors, and the lookup tables of product quantisers, as float16: half the memory and about three digits of
            a score. Re-ranking (`rerank`) gives exact scores again. What is saved is never rounded.
        spread: with several GPUs: `shards` gives each a part of the vectors (room), `replicas` all of them to each, which
            share the queries (speed).
        temporary_memory: bytes or a text such as `512MiB` that FAISS sets aside for a search on each GPU. Queries are asked
            in batches that fit into it.
    """

    float16: bool = True
    spread: Literal["shards", "replicas"] = "shards"
    temporary_memory: Annotated[int, BeforeValidator(_bounded)] = 512 << 20
