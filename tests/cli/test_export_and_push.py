"""An adapter leaves the house from the command line: to other libraries and to a hub, and back by its name there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_stand_in import TOKEN, Hub, running
from program import THINGS, TOWER, Mella

NAME = "me/hungarian"
TASK = """
name: old
title: Old pictures
source: made up
licence: CC0-1.0
protocols: [all-hit]
languages: [hu]
images: 60
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in with a user logged in, and an empty cache."""
    from huggingface_hub import constants

    with running(Hub()) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(variable, raising=False)
        yield hub


def benchmark(mella: Mella, folder: Path, adapter: Path | str, out: str):
    (folder / "task.yaml").write_text(TASK)
    sets = ("--records", folder / "records", "--images", folder / "images", "--texts", folder / "texts")
    return mella("benchmark", folder / "task.yaml", *sets, "--adapter", adapter, "--out", folder / out)


def test_an_adapter_goes_to_the_hub_with_its_numbers_and_comes_back(
    mella: Mella, trained: Path, hub: Hub, old_vectors: Path, text_tower: Path
):
    ran = benchmark(mella, trained, trained / "adapter", "result")
    assert ran.code == 0, ran.err
    call = ("push", trained / "adapter", NAME, "--result", trained / "result", "--license", "cc0-1.0", "--dataset", "me/captions")
    ran = mella(*call)
    assert ran.code == 1
    assert f"is the folder {text_tower} of this machine" in ran.err
    assert not hub.repositories
    ran = mella(*call, "--text-tower", "sentence-transformers:me/words", "--private")
    assert ran.code == 0, ran.err
    assert f'Adapter.load("{NAME}")' in ran.out
    assert hub.repositories[NAME].private
    files = hub.repositories[NAME].files("main")
    card = files["README.md"].decode()
    for wanted in ('license: "cc0-1.0"', 'datasets: ["me/captions"]', "Old pictures: 60 pictures, protocol `all-hit`"):
        assert wanted in card
    (row,) = (line for line in card.splitlines() if line.startswith("| hu | text -> image"))
    assert row.count("(") == 3  # chance beside R@1, R@5 and R@10
    assert not [name for name, data in files.items() if str(text_tower).encode() in data]

    ran = mella("index", "build", old_vectors, trained / "index", "--adapter", NAME)
    assert ran.code == 0, ran.err
    ran = mella(
        *("search", trained / "index", f"piros {THINGS[0][1]}", "-k", 6, "--json", "--device", "cpu"),
        *("--text-tower", f"sentence-transformers:{text_tower}"),
    )
    assert ran.code == 0, ran.err
    assert {int(hit["id"][5:7]) % 10 for hit in ran.json} == {5}
    ran = benchmark(mella, trained, NAME, "again")
    assert ran.code == 0, ran.err
    numbers = [(trained / out / "results.csv").read_text() for out in ("result", "again")]
    assert numbers[0] == numbers[1]


def test_a_result_of_another_adapter_is_refused(mella: Mella, trained: Path, hub: Hub):
    ran = mella("train", "procrustes", trained / "p", "--pairs", trained / "texts", "--image-vectors", trained / "images")
    assert ran.code == 0, ran.err
    assert benchmark(mella, trained, trained / "p", "result").code == 0
    ran = mella("push", trained / "adapter", NAME, "--result", trained / "result")
    assert ran.code == 1
    assert "holds no result of this adapter" in ran.err
    assert not hub.requests


def test_a_name_that_is_nowhere_is_one_sentence(mella: Mella, trained: Path, hub: Hub, old_vectors: Path):
    for ran in (
        mella("index", "build", old_vectors, trained / "index", "--adapter", "me/nothing"),
        benchmark(mella, trained, "me/nothing", "result"),
        mella("export", "me/nothing", trained / "out", "--to", "onnx"),
    ):
        assert ran.code == 1
        assert ran.err.strip().splitlines()[-1].startswith("error: there is no folder me/nothing, and no adapter of that name")


def test_an_adapter_becomes_a_folder_of_sentence_transformers(mella: Mella, trained: Path, text_tower: Path):
    from sentence_transformers import SentenceTransformer

    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.encoders.loading import load_text_tower

    call = ("export", trained / "adapter", trained / "out", "--to", "sentence-transformers")
    ran = mella(*call)
    assert ran.code == 0, ran.err
    assert f"{trained / 'out'}: sentence-transformers, texts" in ran.out
    assert "Texts only: the image tower cannot be loaded" in ran.out
    texts = ["piros kutya", "nagy ház"]
    ours = load_text_tower(f"sentence-transformers:{text_tower}", device="cpu").encode(texts).pooled
    found = SentenceTransformer(str(trained / "out"), device="cpu").encode(texts)
    assert np.abs(found - Adapter.load(trained / "adapter").map_text(ours)).max() < 1e-5
    ran = mella(*call)
    assert ran.code == 1
    assert "--overwrite" in ran.err
    assert mella(*call, "--overwrite", "--text-only").out.count("Texts only") == 0
    ran = mella(*call, "--text-only", "--image-tower", TOWER)
    assert ran.code == 1
    assert "give one of them" in ran.err
