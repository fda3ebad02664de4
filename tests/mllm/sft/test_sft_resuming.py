"""Kill and resume; several processes."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from processes import everything
from safetensors.torch import load_file
from sft_world import KILLED_AT, QUICK, quick, stop_at

from mella_retrieval.artifacts import read_json, write_json, writer_lock
from mella_retrieval.cli import main
from mella_retrieval.data.records import Records
from mella_retrieval.errors import ArtifactError, DataError, LockedError
from mella_retrieval.mllm.sft import SftReport, fine_tune, saving
from mella_retrieval.mllm.sft.checkpoints import last_whole, mark_whole, remove_broken
from mella_retrieval.mllm.sft.trainer import Watch


def test_resume__after_a_kill_ends_with_the_bytes_of_an_undisturbed_run(
    qwen: Path, world: Records, lora: SftReport, half_way: Path, tmp_path: Path
) -> None:
    out = tmp_path / "lora"
    states = [path.parent.name for path in (half_way / "checkpoints").glob("*/whole.json")]
    assert sorted(states) == ["checkpoint-2", "checkpoint-4"]  # the older one is whole while the newer is written
    shutil.copytree(half_way, tmp_path / "lora.work")
    (tmp_path / "lora.work" / "checkpoints" / "checkpoint-5").mkdir()  # cut short
    with pytest.raises(ArtifactError, match=r"not this one: recipe.learning_rate was 0.01, now it is 0.02"):
        fine_tune(str(qwen), world, out, quick(learning_rate=2e-2), device="cpu")

    report = fine_tune(str(qwen), world, out, quick(), device="cpu")
    assert report.resumed_at == 4
    assert report.log == lora.log
    assert everything(out) == everything(lora.folder)
    assert 0 < report.tokens < lora.tokens / 2


def test_resume__full_training_reads_its_own_weights_again_and_writes_what_was_trained(
    internvl: Path, world: Records, full: SftReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, settings = tmp_path / "full", {"method": "full", "learning_rate": 1e-3}
    said = without_pictures_in_the_middle(internvl, world, out, settings)
    assert said.startswith(str(world.image_root))
    assert said.endswith(".png does not exist. Run the same command again to continue, once it is back.")
    assert "\n" not in said

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    told = list[int]()
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patched:
        patched.setattr(saving, "finish", stop)
        fine_tune(str(internvl), world, out, quick(**settings), device="cpu", progress=lambda _, done, __: told.append(done))
    assert told == [3, 4, 5, 6]
    write_json(tmp_path / "full.work" / "memory.json", {"per_device": 2})  # was enough for more than is asked for now
    report = fine_tune(str(internvl), world, out, quick(**settings, per_device=1), device="cpu")
    assert (report.resumed_at, report.tokens, report.per_device) == (6, 0, 1)
    assert everything(out) == everything(full.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".full.lock", "full"]


def without_pictures_in_the_middle(model: Path, records: Records, out: Path, settings: dict[str, Any]) -> str:
    """What a training says whose pictures vanish when two steps are done, while a process of its own reads them."""
    context, lost = multiprocessing.get_context("fork"), records.image_root.with_name("lost")
    here, there = context.Pipe()

    def lose(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("training", 2):
            records.image_root.rename(lost)

    def train() -> None:
        try:
            fine_tune(str(model), records, out, quick(**settings, workers=1), device="cpu", progress=lose)
        except DataError as error:
            there.send(str(error))

    process = context.Process(target=train)  # with it end those that read pictures for it
    process.start()
    try:
        assert here.poll(120)
        process.join(60)
        return str(here.recv())
    finally:
        lost.rename(records.image_root)


def test_work_folder__of_what_could_not_be_prepared_goes_and_of_others_stays(qwen: Path, world: Records, tmp_path: Path) -> None:
    out, notes = tmp_path / "out", tmp_path / "out.work" / "notes.txt"
    with pytest.raises(DataError, match="24 x too long"):
        fine_tune(str(qwen), world, out, quick(max_length=5), device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == [".out.lock"]
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(ArtifactError, match=r"what lies there is of no training: move it away"):
        fine_tune(str(qwen), world, out, quick(), device="cpu")
    assert notes.read_text() == "mine"
    notes.unlink()
    write_json(notes.with_name("job.json"), {"recipe": {"seed": 9}})  # of another one that was killed while it prepared
    for name in ("out", "out.work"):
        (tmp_path / f".{name}.0123456789ab.tmp").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fine_tune(str(qwen), world, out, quick(), device="cpu", progress=stop_at(24, "preparing"))
    assert [path.name for path in tmp_path.iterdir()] == [".out.lock"]
    with writer_lock(out), pytest.raises(LockedError, match="is being written by another process"):
        fine_tune(str(qwen), world, out, quick(), device="cpu")


def one_of_two(arguments: list[str], folder: Path, dies_at: int) -> None:
    """A process of torchrun; the second of them may die without notice."""
    rank = os.environ["RANK"]
    sys.stdout = (folder / f"said-{rank}").open("w", encoding="utf-8")
    sys.argv = ["mella", *arguments]
    step = Watch.on_step_end

    def watched(self: Watch, args: Any, state: Any, control: Any, **further: Any) -> Any:
        with (folder / f"steps-{rank}").open("a") as steps:
            steps.write(str(state.global_step))
        if (rank, state.global_step) == ("1", dies_at):
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, args, state, control, **further)

    Watch.on_step_end = watched  # type: ignore[method-assign]
    with suppress(SystemExit):
        main()
    sys.stdout.close()


def by_torchrun(arguments: list[str], folder: Path, dies_at: int) -> None:
    """`torchrun --standalone --nproc-per-node 2` from here on: its processes need not import everything again."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    settings = {"min_nodes": 1, "max_nodes": 1, "nproc_per_node": 2, "max_restarts": 0, "monitor_interval": 0.1}
    logs = DefaultLogsSpecs(log_dir=str(folder))
    where: Any = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "start_method": "fork", "logs_specs": logs}
    elastic_launch(LaunchConfig(run_id="two", **settings, **where), one_of_two)(arguments, folder, dies_at)


def test_processes__two_of_torchrun_take_the_steps_of_one_although_one_of_them_dies(
    internvl: Path, world: Records, full: SftReport, tmp_path: Path
) -> None:
    out, recipe = tmp_path / "two", tmp_path / "two.yaml"
    settings = {**QUICK, "method": "full", "learning_rate": 1e-3}
    recipe.write_text(
        "\n".join(f"{name}: {value}" for name, value in settings.items()).replace("'", "").replace("False", "false")
    )
    arguments = [*map(str, ["sft", internvl, world.folder, out, "--recipe", recipe, "--device", "cpu"])]
    said, lived = [], []
    for life, dies_at in (("first", KILLED_AT), ("second", 0)):
        readers = [f"workers={int(not dies_at)}"]  # how it is carried out is nothing to the training
        folder = tmp_path / life
        folder.mkdir()
        context = multiprocessing.get_context("fork")
        process = context.Process(target=by_torchrun, args=([*arguments, *readers], folder, dies_at))
        process.start()
        process.join(300)
        assert (process.exitcode == 0) == out.exists() == (dies_at == 0)
        said += [(folder / f"said-{rank}").read_text() for rank in (0, 1)]
        lived += [(folder / f"steps-{rank}").read_text() for rank in (0, 1)]
    assert lived[1:] == ["12345", "56", "56"]
    assert [text.count("held out 4") for text in said] == [0, 0, 1, 0]  # one of them tells
    assert "loss on held-out texts: " in said[2]
    assert [text for text in said if not text] == [""] * 3
    assert read_json(out / "manifest.json")["counts"] == vars(full.prepared)
    losses = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    for key, near in (("loss", 1e-3), ("eval_loss", 1e-2)):  # an evaluation weighs batches, which are smaller here
        assert [line[key] for line in losses if key in line] == pytest.approx(full.losses(key), rel=near)
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
