"""The whole way on a tiny InternVL of random weights: records, `mella sft`, `mella score`. What is learnt is what was seen.

The measured study, with a Qwen2-VL, LoRA, other pictures and a run without sight, is `benchmarks/studies/mllm.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mella_retrieval.data.importing import import_records
from mella_retrieval.data.ling.captioners import load_captioner
from mella_retrieval.data.records import Records
from mella_retrieval.mllm.captioners import captioners
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.score.recipe import ScoreRecipe
from mella_retrieval.mllm.score.scoring import score
from mella_retrieval.mllm.sft import SftRecipe, fine_tune
from mella_retrieval.pocket.models import tiny_internvl
from mella_retrieval.pocket.world import generate_world

LANGUAGES = ["hu", "th"]
SEEN = {"lang": LANGUAGES, "split": "train"}


@pytest.fixture
def records(tmp_path: Path) -> Records:
    generate_world(tmp_path / "world", 3, 140)
    import_records(tmp_path / "world", tmp_path / "records", "pocket")
    return Records.load(tmp_path / "records")


def test_full_training_learns_what_pictures_show(tmp_path: Path, records: Records, one_thread: None):
    texts = records.texts(["text"], SEEN)["text"].to_pylist()
    assert len(texts) > 200
    prompts = Prompts.load()
    asked = [text for lang in LANGUAGES for source in ("know", "ling") for text in prompts.of(lang, source)]
    base = tiny_internvl(tmp_path / "base", [*texts, *asked], width=128, layers=2)
    recipe = SftRecipe(
        method="full", epochs=40, batch=8, per_device=8, learning_rate=2e-3, warmup=0.05, precision="fp32",
        activation_checkpointing=False, evaluation={"share": 0, "every": 1000}, max_length=512,
    )  # fmt: skip
    report = fine_tune(str(base), records, tmp_path / "tuned", recipe, where=SEEN, device="cpu")
    assert report.prepared.train == len(texts)
    assert report.losses()[-1] < 0.2 * report.losses()[0]
    arms = {
        name: load_captioner(f"transformers:{tmp_path / name}?max_new_tokens=80", captioners("cpu", "fp32"))
        for name in ("base", "tuned")
    }
    recipe_of_scores = ScoreRecipe(metrics={"know": ("keywords",), "ling": ("keywords",)}, signs=None, batch=64, identify=False)
    scores = score(records, tmp_path / "scores", recipe_of_scores, arms, where=SEEN)
    cells = scores.row("ling", "keywords", "all").cells
    assert cells["base"].score.value < 5
    assert cells["tuned"].score.value > 90
    assert cells["tuned"].chance is not None and cells["tuned"].chance < 40, "other pictures' texts would not do"
    assert torch.get_num_threads() == 1
