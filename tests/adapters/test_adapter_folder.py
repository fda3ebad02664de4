"""The adapter on disk: what was written comes back, what was damaged or does not belong is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mella_retrieval.adapters.adapter import CARD, CONFIG, WEIGHTS, Adapter, AdapterConfig
from mella_retrieval.adapters.card import write_card
from mella_retrieval.adapters.heads import Head, Linear, ReLU, Shift
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError, MismatchError

TEXT = TowerInfo(spec="sentence-transformers:a/text", modality="text", dim=6, weights="a" * 64, preparation={"case": "lower"})
IMAGE = TowerInfo(spec="open_clip:b/clip", modality="image", dim=4, weights="b" * 64, preparation={"size": 224})


@pytest.fixture
def adapter() -> Adapter:
    generator = np.random.default_rng(0)
    text = Head(
        (
            Linear(generator.normal(size=(9, 6)).astype(np.float32), generator.normal(size=9).astype(np.float32)),
            ReLU(),
            Linear(generator.normal(size=(4, 9)).astype(np.float32), generator.normal(size=4).astype(np.float32)),
        )
    )
    image = Head((Shift(generator.normal(size=4).astype(np.float32)),))
    config = AdapterConfig(
        method="ridge",
        options={"data": "auto"},
        text_tower=TEXT,
        image_tower=IMAGE,
        text_head=text.chain(),
        image_head=image.chain(),
        languages=["cs", "hu"],
        inputs={"pairs": {"rows": 1234, "fingerprint": "f"}},
        selection={"measure": "mean reciprocal rank", "on": "10 held-out captions"},
        seed=0,
        versions={},
    )
    return Adapter(config, text, image)


@pytest.fixture
def folder(adapter: Adapter, tmp_path: Path) -> Path:
    adapter.save(tmp_path / "adapter", write_card(adapter))
    return tmp_path / "adapter"


def test_it_comes_back_bit_for_bit(adapter: Adapter, folder: Path):
    again = Adapter.load(folder)
    generator = np.random.default_rng(1)
    x, v = generator.normal(size=(20, 6)).astype(np.float32), generator.normal(size=(20, 4)).astype(np.float32)
    assert np.array_equal(again.map_text(x), adapter.map_text(x))
    assert np.array_equal(again.map_image(v), adapter.map_image(v))
    assert again.config.model_copy(update={"sha256": ""}) == adapter.config
    assert again.projects_images


def test_the_same_adapter_has_the_same_bytes_and_fingerprint(adapter: Adapter, folder: Path, tmp_path: Path):
    other = adapter.save(tmp_path / "other", write_card(adapter))
    assert other.fingerprint == Adapter.load(folder).fingerprint
    for name in (CONFIG, WEIGHTS, CARD):
        assert (folder / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_the_card_says_what_it_joins_and_what_it_was_fitted_on(folder: Path):
    card = (folder / CARD).read_text(encoding="utf-8")
    for wanted in (TEXT.spec, IMAGE.spec, 'language: ["cs", "hu"]', "| pairs | 1,234 |", "10 held-out captions"):
        assert wanted in card


def test_an_existing_folder_is_not_replaced_unasked(adapter: Adapter, folder: Path):
    with pytest.raises(ArtifactError, match="already exists"):
        adapter.save(folder, "card")
    adapter.save(folder, "new card", overwrite=True)
    assert (folder / CARD).read_text() == "new card"


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def test_one_changed_bit_of_the_weights_is_found(folder: Path):
    flip_last_byte(folder / WEIGHTS)
    with pytest.raises(ArtifactError, match="corrupted or was exchanged"):
        Adapter.load(folder)


def test_weights_cut_short_are_found(folder: Path):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.raises(ArtifactError, match="corrupted"):
        Adapter.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "index"}, "does not describe an adapter"),
        ({"format_version": 2}, "format version 2"),
        ({"format_version": "new"}, "format version"),
        ({"text_tower": {"spec": "x"}}, "damaged"),
        ({"surprise": 1}, "damaged"),
        ({"text_head": ["linear", "relu", "attention"]}, "unknown kind 'attention'"),
        ({"text_head": ["linear", "linear"]}, "lacks arrays"),
    ],
)
def test_a_configuration_that_is_not_this_installations_is_refused(folder: Path, changes: dict[str, object], message: str):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))
    with pytest.raises(ArtifactError, match=message):
        Adapter.load(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        Adapter.load(folder)


def test_a_missing_folder_and_a_configuration_that_is_no_json(tmp_path: Path, folder: Path):
    with pytest.raises(ArtifactError, match="there is no adapter folder"):
        Adapter.load(tmp_path / "nowhere")
    (folder / CONFIG).write_text("{")
    with pytest.raises(ArtifactError, match="not valid JSON"):
        Adapter.load(folder)


@pytest.mark.parametrize(
    "other",
    [
        IMAGE.model_copy(update={"spec": "open_clip:c/other", "weights": "c" * 64}),
        IMAGE.model_copy(update={"spec": "open_clip:c/other", "weights": None}),
        IMAGE.model_copy(update={"spec": "open_clip:b/larger", "dim": 8}),
        TEXT.model_copy(update={"spec": "open_clip:b/text", "dim": 4, "weights": "b" * 64}),
    ],
)
def test_vectors_of_another_image_tower_are_refused_and_both_are_named(adapter: Adapter, other: TowerInfo):
    with pytest.raises(MismatchError) as error:
        adapter.require_image_tower(other, "the set old-vectors")
    for wanted in (IMAGE.spec, other.spec, "old-vectors"):
        assert wanted in str(error.value)


def test_a_model_that_moved_and_vectors_known_by_name_only_belong(adapter: Adapter):
    adapter.require_image_tower(IMAGE.model_copy(update={"spec": "open_clip:local-dir:/models/clip"}), "moved")
    adapter.require_image_tower(IMAGE.model_copy(update={"weights": None, "preparation": {}}), "imported")


def test_another_text_tower_is_refused_and_both_are_named(adapter: Adapter):
    other = TEXT.model_copy(update={"spec": "sentence-transformers:z/other", "weights": "z" * 64})
    with pytest.raises(MismatchError, match=r"a/text.*z/other"):
        adapter.require_text_tower(other, "the queries")


def test_another_text_preparation_is_refused_and_both_are_named(adapter: Adapter):
    other = TEXT.model_copy(update={"preparation": {"case": "kept"}})
    with pytest.raises(MismatchError) as error:
        adapter.require_text_tower(other, "the queries")
    assert "lower" in str(error.value)
    assert "kept" in str(error.value)
    adapter.require_text_tower(TEXT, "the queries")


def test_vectors_of_a_wrong_shape_are_refused(adapter: Adapter):
    with pytest.raises(MismatchError, match=r"6 dimensions.*\(2, 5\)"):
        adapter.map_text(np.ones((2, 5), np.float32))
    with pytest.raises(MismatchError, match=r"\(4,\)"):
        adapter.map_image(np.ones(4, np.float32))
