"""Killed and started again, a training ends with the weights of an undisturbed one, from the step where it stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from planted import IMAGE_TOWER, names, planted, write_set
from torch import Tensor, nn

from mella_retrieval.adapters.checkpoint import FILE, Checkpoint
from mella_retrieval.adapters.fitting import FitConfig, Problem, fit
from mella_retrieval.adapters.run import Run
from mella_retrieval.errors import TrainingError

SLOW = """
import sys, time, torch
from mella_retrieval.adapters import pair_sampling
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
torch.set_num_threads(1)
draw = pair_sampling.TextSampler.__call__
def slowly(self, *arguments):
    time.sleep(float(sys.argv[1]))
    return draw(self, *arguments)
pair_sampling.TextSampler.__call__ = slowly
method, config = load_method("contrastive", ["epochs=8", "batch_size=16", "loss=infonce", "start=random"])
sources = Sources(pairs=sys.argv[2] + "/texts", image_vectors=sys.argv[2] + "/images")
train(method, config, sources, sys.argv[3], run=Run(checkpoint_seconds=0))
"""


def test_kill_minus_nine_in_the_middle_of_a_training(tmp_path: Path):
    world, ids = planted(60), names(60)
    write_set(tmp_path / "images", world.image(), ids, IMAGE_TOWER, "image")
    write_set(tmp_path / "texts", world.text(), names(60, "t"), image_id=ids, lang=["hu", "cs"] * 30)

    def start(pause: str, out: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", SLOW, pause, str(tmp_path), str(tmp_path / out)])

    job = start("0.2", "killed")
    checkpoint = tmp_path / "killed.work" / FILE
    while not checkpoint.exists() and job.poll() is None:
        time.sleep(0.01)
    time.sleep(0.5)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert checkpoint.exists() and not (tmp_path / "killed").exists()
    assert start("0", "killed").wait() == 0
    assert start("0", "undisturbed").wait() == 0
    for name in ("adapter.safetensors", "config.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    assert not checkpoint.exists()


class Stop(Exception):
    pass


def problem(steps: list[list[int]], generator: torch.Generator, dies_after: int = 10**9) -> Problem:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    data = torch.randn(20, 3)

    def loss(rows: Tensor) -> Tensor:
        if len(steps) == dies_after:
            raise Stop
        steps.append(rows.tolist())
        return module(data[rows] + torch.randn(len(rows), 3, generator=generator)).pow(2).mean()

    return Problem(module, loss, lambda: -float(module(data).pow(2).mean()), 20)


def run_once(folder: Path, steps: list[list[int]], dies_after: int = 10**9, job: str = "a") -> nn.Module:
    generator = torch.Generator().manual_seed(5)
    made = problem(steps, generator, dies_after)
    fit(made, FitConfig(epochs=3, batch_size=6), generator, Run(checkpoints=folder, checkpoint_seconds=0, job=job))
    return made.module


def test_a_stopped_fit_goes_on_where_it_was_and_repeats_no_step(tmp_path: Path):
    whole: list[list[int]] = []
    expected = run_once(tmp_path / "a", whole)
    assert len(whole) == 9
    for dies_after in range(1, 9):
        steps: list[list[int]] = []
        folder = tmp_path / f"b{dies_after}"
        with pytest.raises(Stop):
            run_once(folder, steps, dies_after)
        found = run_once(folder, steps)
        assert steps == whole
        for name, value in expected.state_dict().items():
            assert torch.equal(found.state_dict()[name], value), (dies_after, name)
        assert not list(folder.iterdir()), "the checkpoint of a finished fit is gone"


def test_the_state_of_another_fit_is_not_continued(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with pytest.raises(Stop):
        run_once(tmp_path, [], 4)
    steps: list[list[int]] = []
    run_once(tmp_path, steps, job="b")
    assert len(steps) == 9
    assert "belongs to another training" in caplog.text


def test_a_damaged_checkpoint_is_said_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with pytest.raises(Stop):
        run_once(tmp_path, [], 4)
    path = Checkpoint(tmp_path, "a").path
    path.write_bytes(path.read_bytes()[:100])
    steps: list[list[int]] = []
    run_once(tmp_path, steps)
    assert len(steps) == 9
    assert "cannot be read" in caplog.text


def test_no_checkpoint_is_written_before_its_time(tmp_path: Path):
    generator = torch.Generator()
    made = problem([], generator, 5)
    with pytest.raises(Stop):
        fit(made, FitConfig(epochs=3, batch_size=6), generator, Run(checkpoints=tmp_path / "none", checkpoint_seconds=3600))
    assert not (tmp_path / "none").exists()


def test_outputs_that_stay_one_point_end_the_fit_after_three_epochs():
    module = nn.Linear(2, 2)
    told: list[int] = []
    point = torch.ones(5, 2) / 2**0.5
    made = Problem(module, lambda rows: module.weight.sum(), lambda: 0.0, 8, lambda: point)
    with pytest.raises(TrainingError, match=r"collapsed.*1\.0000.*learning_rate"):
        fit(made, FitConfig(epochs=9, batch_size=4), torch.Generator(), Run(lambda done, total: told.append(done)))
    assert told == [1, 2]


def test_a_head_that_opens_up_after_two_epochs_is_not_ended():
    module = nn.Linear(2, 2)
    spread, point = torch.eye(2), torch.ones(2, 2) / 2**0.5
    shown = iter([point, point, spread, spread, spread])
    made = Problem(module, lambda rows: module.weight.sum(), lambda: 0.0, 8, lambda: next(shown))
    assert fit(made, FitConfig(epochs=4, batch_size=4), torch.Generator())["kept_epoch"] == 4


def test_bf16_computes_heads_in_half_precision_and_losses_in_full():
    seen = []
    module = nn.Linear(4, 4)

    def loss(rows: Tensor) -> Tensor:
        out = module(torch.ones(len(rows), 4))
        seen.append(out.dtype)
        return out.float().sum()

    for precision in ("fp32", "bf16"):
        config = FitConfig(epochs=1, batch_size=4, precision=precision)  # type: ignore[arg-type]
        fit(Problem(module, loss, lambda: 0.0, 4), config, torch.Generator())
    assert seen == [torch.float32, torch.bfloat16]
    assert module.weight.dtype == torch.float32


def test_tensorboard_events_hold_loss_rate_and_held_out_value(tmp_path: Path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(str(tmp_path))
    generator = torch.Generator().manual_seed(0)
    fit(problem([], generator), FitConfig(epochs=2, batch_size=10), generator, Run(tensorboard=tmp_path))
    accumulator.Reload()
    assert set(accumulator.Tags()["scalars"]) == {"loss", "learning rate", "held-out value", "mean pairwise cosine"}
    assert [event.step for event in accumulator.Scalars("loss")] == [0, 1, 2, 3]
    assert [event.value for event in accumulator.Scalars("learning rate")] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
    assert [event.step for event in accumulator.Scalars("held-out value")] == [0, 1]


def test_warmup_raises_the_rate_before_it_falls():
    rates: list[float] = []
    module = nn.Linear(1, 1)
    before = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *arguments: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return before(self, *arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        made = Problem(module, lambda rows: module.weight.sum(), lambda: 0.0, 8)
        fit(made, FitConfig(epochs=2, batch_size=2, learning_rate=1, warmup=3), torch.Generator())
    assert rates == pytest.approx([0.25, 0.5 * 7 / 8, 0.75 * 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
