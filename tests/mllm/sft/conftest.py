"""Models that were fine-tuned once, for several tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sft_world import pictures, quick, written

from mella_retrieval.data.records import Records
from mella_retrieval.mllm.sft import SftReport, fine_tune


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """What is compared to the bit is computed by as many threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Twelve pictures with 24 texts."""
    folder = tmp_path_factory.mktemp("world")
    return written(folder / "records", pictures(folder / "pictures"), folder / "pictures")


@pytest.fixture(scope="session")
def lora(qwen: Path, world: Records, tmp_path_factory: pytest.TempPathFactory) -> SftReport:
    """Qwen2-VL with additions."""
    return fine_tune(str(qwen), world, tmp_path_factory.mktemp("tuned") / "lora", quick(), device="cpu")


@pytest.fixture(scope="session")
def full(internvl: Path, world: Records, tmp_path_factory: pytest.TempPathFactory) -> SftReport:
    """InternVL, its language model trained."""
    out = tmp_path_factory.mktemp("tuned") / "full"
    return fine_tune(str(internvl), world, out, quick(method="full", learning_rate=1e-3), device="cpu")
