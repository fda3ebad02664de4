"""The commands of docs/training.md and of adapters/README.md, run as a shell would hand them over."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from program import Mella

from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.encoders.towers import TowerInfo

REPOSITORY = Path(__file__).parents[2]
N = 60


def stored(name: str, spec: str, modality: str, seed: int, **columns: list[str]) -> None:
    """Vectors of one hidden cause as a tower of this spec shows it."""
    cause = np.random.default_rng(0).normal(size=(N, 8))
    shown = cause @ np.random.default_rng(sum(spec.encode())).normal(size=(8, 16))
    noise = np.random.default_rng(seed).normal(size=shown.shape)
    tower = TowerInfo(spec=spec, modality=modality, dim=16, weights=spec)  # type: ignore[arg-type]
    ids = [f"{columns.get('kind', ['i'])[0]}{row}" for row in range(N)]
    table = pa.table({"id": ids, "image_id": [f"i{row}" for row in range(N)], **columns})
    import_vectors(Path(name), tower, [(shown + 0.05 * noise, table)], name)


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text, clip = "sentence-transformers:some/tower", "open_clip:some/clip"
    stored("english-multi", text, "text", 1, kind=["e"] * N, lang=["en"] * N)
    stored("english-clip", clip, "text", 2, kind=["e"] * N, lang=["en"] * N)
    stored("texts", text, "text", 3, kind=["t"] * N, lang=["hu", "cs"] * (N // 2), source=["know"] * 30 + ["ling"] * 30)
    stored("text-bank", text, "text", 5, kind=["b"] * N, lang=["hu"] * N)
    stored("images", clip, "image", 4)


@pytest.mark.usefixtures("sets")
@pytest.mark.parametrize("page", ["docs/training.md", "adapters/README.md"])
def test_every_training_command_of_the_page_trains(page: str, mella: Mella):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    commands = [shlex.split(line, comments=True)[1:] for line in blocks.splitlines() if line.startswith("mella train")]
    assert len(commands) == 3
    for number, command in enumerate(commands):
        command[2] = f"adapter{number}"
        if command[1] == "uclip":
            command.append("epochs=2")
        ran = mella(*command)
        assert ran.code == 0, ran.err
        assert (Path(f"adapter{number}") / "adapter.safetensors").is_file()
