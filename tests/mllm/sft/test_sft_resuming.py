"""Kill and resume; several processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import everything
from safetensors.torch import load_file
from sft_world import QUICK, quick

from mella_retrieval.data.records import Records
from mella_retrieval.errors import ArtifactError
from mella_retrieval.mllm.sft import SftReport, fine_tune
from mella_retrieval.mllm.sft.checkpoints import last_whole, mark_whole, remove_broken

KILLED_AT = 5


def killed_on_the_way(model: Path, records: Records, out: Path) -> None:
    """Start a fine-tuning in a process of its own and end it without notice in the middle."""
    context = multiprocessing.get_context("fork")  # all is imported already
    here, there = context.Pipe()

    def progress(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("training", KILLED_AT):
            there.send("now")
            time.sleep(600)

    process = context.Process(
        target=fine_tune, args=(str(model), records, out, quick()), kwargs={"device": "cpu", "progress": progress}
    )
    process.start()
    assert here.poll(120)
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_resume__after_a_kill_ends_with_the_bytes_of_an_undisturbed_run(
    qwen: Path, world: Records, lora: SftReport, tmp_path: Path
) -> None:
    out = tmp_path / "lora"
    killed_on_the_way(qwen, world, out)
    assert not out.exists()
    assert last_whole(tmp_path / "lora.work" / "checkpoints") is not None
    (tmp_path / "lora.work" / "checkpoints" / "checkpoint-5").mkdir()  # cut short
    with pytest.raises(ArtifactError, match=r"not this one: recipe.learning_rate was 0.01, now it is 0.02"):
        fine_tune(str(qwen), world, out, quick(learning_rate=2e-2), device="cpu")

    report = fine_tune(str(qwen), world, out, quick(), device="cpu")
    assert report.resumed_at == 4
    assert report.log == lora.log
    assert everything(out) == everything(lora.folder)


def test_resume__full_training_reads_its_own_weights_again(
    internvl: Path, world: Records, full: SftReport, tmp_path: Path
) -> None:
    out, recipe = tmp_path / "full", quick(method="full", learning_rate=1e-3)

    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("training", KILLED_AT):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(str(internvl), world, out, recipe, device="cpu", progress=stop)
    report = fine_tune(str(internvl), world, out, recipe, device="cpu")
    assert report.resumed_at == 4
    assert everything(out) == everything(full.folder)


def test_processes__two_of_torchrun_take_the_steps_of_one(
    internvl: Path, world: Records, full: SftReport, tmp_path: Path
) -> None:
    out, recipe = tmp_path / "two", tmp_path / "two.yaml"
    settings = {**QUICK, "method": "full", "learning_rate": 1e-3, "workers": 1}
    recipe.write_text(
        "\n".join(f"{name}: {value}" for name, value in settings.items()).replace("'", "").replace("False", "false")
    )
    program = [sys.executable, "-c", "from mella_retrieval.cli import main; main()"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command = [*launcher, *program, "sft", internvl, world.folder, out, "--recipe", recipe, "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("held out 4") == 1  # one of them tells
    assert "loss on held-out texts: " in done.stdout
    alone, both = (load_file(folder / "model.safetensors") for folder in (full.folder, out))
    assert max(float((alone[name] - both[name]).abs().max()) for name in alone) < 1e-4


def test_states__only_whole_ones_count(tmp_path: Path) -> None:
    for name in ("checkpoint-2", "checkpoint-10", "checkpoint-12", "checkpoint-x"):
        (tmp_path / name).mkdir()
    assert last_whole(tmp_path) is None
    mark_whole(tmp_path, 2)
    mark_whole(tmp_path, 10)
    assert last_whole(tmp_path) == (tmp_path / "checkpoint-10", 10)
    remove_broken(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2", "checkpoint-x"]
