"""Models that were fine-tuned once, for several tests."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sft_world import KILLED_AT, pictures, quick, written

from mella_retrieval.data.records import Records
from mella_retrieval.mllm.sft import SftReport, fine_tune
from mella_retrieval.mllm.sft.checkpoints import last_whole


@pytest.fixture(autouse=True, scope="session")
def no_walks_through_libraries() -> Iterator[None]:
    """Each training collects garbage; what was imported before is left out of that, for it takes as long as all the rest."""
    import trl.trainer.sft_trainer  # noqa: F401

    gc.freeze()
    yield
    gc.unfreeze()


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
def half_way(qwen: Path, world: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of such a training that was killed without notice in the middle."""
    out = tmp_path_factory.mktemp("killed") / "lora"
    context = multiprocessing.get_context("fork")  # all is imported already
    here, there = context.Pipe()

    def progress(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("training", KILLED_AT):
            there.send("now")
            time.sleep(600)

    process = context.Process(
        target=fine_tune, args=(str(qwen), world, out, quick()), kwargs={"device": "cpu", "progress": progress}
    )
    process.start()
    assert here.poll(120)
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not out.exists()
    work = out.with_name("lora.work")
    assert last_whole(work / "checkpoints") is not None
    return work


@pytest.fixture(scope="session")
def full(internvl: Path, world: Records, tmp_path_factory: pytest.TempPathFactory) -> SftReport:
    """InternVL, its language model trained."""
    out = tmp_path_factory.mktemp("tuned") / "full"
    return fine_tune(str(internvl), world, out, quick(method="full", learning_rate=1e-3), device="cpu")
