"""What a method is given: chosen rows, matched ids, the held-out part, and refusals of what does not belong together."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from planted import IMAGE_TOWER, TEXT_TOWER, load, names, planted, unit, write_set

from mella_retrieval.adapters.inputs import Inputs, load_inputs
from mella_retrieval.adapters.sources import Source, Sources
from mella_retrieval.errors import ArtifactError, DataError, MismatchError, TrainingError

WORLD = planted(60)
IDS = names(60)
SPLIT = ["train"] * 40 + ["validation"] * 8 + ["test"] * 12


@pytest.fixture
def images(tmp_path: Path) -> str:
    half = ["A", "B"] * 20 + [""] * 20
    return write_set(tmp_path / "images", WORLD.image(), IDS, IMAGE_TOWER, "image", split=SPLIT, half=half)


@pytest.fixture
def texts(tmp_path: Path) -> str:
    """Two captions a picture, Czech and Hungarian."""
    rows = np.repeat(np.arange(60), 2)
    return write_set(
        tmp_path / "texts",
        WORLD.text(rows=rows),
        names(120, "t"),
        image_id=[IDS[row] for row in rows],
        lang=["cs", "hu"] * 60,
        split=[SPLIT[row] for row in rows],
    )


def write_english(folder: Path, ids: list[str], name: str = "english", **columns: list[str]) -> str:
    vectors = planted(len(ids)).text()
    return write_set(folder / name, vectors, ids, lang=["en"] * len(ids), **columns)


def write_clip(folder: Path, ids: list[str], name: str = "clip") -> str:
    vectors = planted(len(ids)).clip_text()
    return write_set(folder / name, vectors, ids, IMAGE_TOWER, lang=["en"] * len(ids))


def read(tmp_path: Path, seed: int = 0, **sources: str) -> Inputs:
    return load_inputs(Sources(**sources), seed)


# Filters ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ("", range(40)),
        ("?split=train&half=A", range(0, 40, 2)),
        ("?half=B", range(1, 40, 2)),
        ("?half=A|B", range(40)),
        ("?split=test|validation", range(40, 60)),
        ("?split=test&half=", range(48, 60)),
        ("?id=i0003|i0005", [3, 5]),
    ],
)
def test_filters_choose_rows_and_train_is_the_default(images: str, filters: str, rows: list[int]):
    assert Source.open(images + filters).select().positions.tolist() == list(rows)


@pytest.mark.parametrize("filters", ["?half", "?half=A&", "?=A", "?half=A&split", "?half=A&half=B"])
def test_filters_of_another_form_are_refused(images: str, filters: str):
    with pytest.raises(DataError, match=r"after the \?|filtered twice"):
        Source.open(images + filters)


def test_an_unknown_column_and_a_value_that_no_row_has(images: str):
    with pytest.raises(DataError, match=r"no column 'haalf'; it has id, split, half"):
        Source.open(images + "?haalf=A").select()
    with pytest.raises(DataError, match=r"no row has half 'C' and split 'train'"):
        Source.open(images + "?half=C").select()


def test_values_are_taken_as_they_are_written(tmp_path: Path):
    source = write_set(tmp_path / "s", WORLD.text(), IDS, source=["a+b", "50%25"] * 30)
    assert len(Source.open(source + "?source=a+b").select()) == 30
    assert len(Source.open(source + "?source=50%25").select()) == 30


def test_a_folder_that_is_no_embedding_set(tmp_path: Path):
    with pytest.raises(ArtifactError, match="there is no folder"):
        read(tmp_path, pairs=str(tmp_path / "nowhere"), image_vectors=str(tmp_path / "nowhere"))


# English texts ------------------------------------------------------------------------------------------------------


def test_english_texts_are_matched_by_id_whatever_their_order(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    ids = names(30, "e")
    generator = np.random.default_rng(0)
    order = generator.permutation(30)
    vectors = planted(30).clip_text()
    english = write_english(tmp_path, ids[:25])
    clip = write_set(tmp_path / "clip", vectors[order], [ids[row] for row in order], IMAGE_TOWER, lang=["en"] * 30)
    with caplog.at_level(logging.WARNING):
        inputs = read(tmp_path, english_text=english, clip_text=clip)
    assert inputs.english is not None
    assert np.allclose(inputs.english.clip_text, vectors[:25], atol=1e-6)
    assert "25 of 30" in caplog.text
    assert inputs.description["english_text"]["rows"] == 25


def test_english_texts_without_a_common_id_are_refused(tmp_path: Path):
    english, clip = write_english(tmp_path, names(20, "a")), write_clip(tmp_path, names(20, "b"))
    with pytest.raises(DataError, match="both must hold the same English texts"):
        read(tmp_path, english_text=english, clip_text=clip)


def test_only_english_rows_of_a_mixed_set_are_english_texts(tmp_path: Path):
    ids = names(40, "e")
    english = write_set(tmp_path / "english", planted(40).text(), ids, lang=["en", "hu"] * 20)
    inputs = read(tmp_path, english_text=english, clip_text=write_clip(tmp_path, ids))
    assert inputs.description["english_text"]["rows"] == inputs.description["clip_text"]["rows"] == 20
    assert inputs.languages == ["en"]


def test_texts_of_one_picture_stay_on_one_side_of_the_hold_out(tmp_path: Path):
    ids = names(90, "e")
    picture = [f"p{row // 3}" for row in range(60)] + [""] * 30  # phrases belong to no picture
    english = write_english(tmp_path, ids, image_id=picture)
    for seed in range(5):
        found = read(tmp_path, seed, english_text=english, clip_text=write_clip(tmp_path, ids)).english
        assert found is not None
        train, held_out = ({picture[row] for row in rows} - {""} for rows in (found.train, found.held_out))
        assert not train & held_out
        assert sorted([*found.train, *found.held_out]) == list(range(90))
        assert 5 <= len(found.held_out) <= 15  # a tenth of the 50 pictures and phrases


def test_texts_of_one_picture_stay_on_one_side_of_a_carved_validation_part(tmp_path: Path, images: str, texts: str):
    without = write_set(
        tmp_path / "no-split",
        load(texts).vectors(),
        names(120, "t"),
        image_id=load(texts).column("image_id"),
        lang=load(texts).column("lang"),
    )
    found = read(tmp_path, image_vectors=images + "?split=train|validation", pairs=without).pairs
    assert found is not None
    assert not set(found.image_rows[found.train]) & set(found.image_rows[found.held_out])
    assert len(found.held_out) == 12  # 6 of 60 pictures were held out, as far as they have a vector


def test_too_few_texts_to_hold_any_out(tmp_path: Path):
    ids = names(20, "e")
    english = write_english(tmp_path, ids, image_id=[f"p{row // 3}" for row in range(20)])
    with pytest.raises(TrainingError, match="7 distinct texts or pictures are too few"):
        read(tmp_path, english_text=english, clip_text=write_clip(tmp_path, ids))


# Pairs --------------------------------------------------------------------------------------------------------------


def test_pairs_name_their_pictures(tmp_path: Path, images: str, texts: str):
    found = read(tmp_path, image_vectors=images, pairs=texts).pairs
    assert found is not None
    expected = load(images).vectors()
    assert len(found.train) == 80
    assert len(found.held_out) == 16
    assert np.array_equal(found.images[found.image_rows], np.repeat(expected[:48], 2, axis=0))
    assert found.final.tolist() == found.train.tolist()
    assert list(found.langs) == ["cs", "hu"] * 48


def test_a_validation_set_of_its_own_is_used(tmp_path: Path, images: str, texts: str):
    found = read(tmp_path, image_vectors=images, pairs=texts, validation=texts + "?lang=cs").pairs
    assert found is not None
    assert len(found.held_out) == 8
    assert {found.langs[row] for row in found.held_out} == {"cs"}


def test_validation_rows_that_a_filter_gives_to_training_are_not_also_held_out(tmp_path: Path, images: str, texts: str):
    found = read(tmp_path, image_vectors=images, pairs=texts + "?split=train|validation").pairs
    assert found is not None
    assert len(found.train) + len(found.held_out) == 96
    assert not set(found.image_rows[found.train]) & set(found.image_rows[found.held_out])


def test_pictures_of_the_test_split_are_left_out_though_the_texts_do_not_say_so(
    tmp_path: Path, images: str, caplog: pytest.LogCaptureFixture
):
    texts = write_set(tmp_path / "no-split", WORLD.text(), names(60, "t"), image_id=IDS)
    with caplog.at_level(logging.WARNING):
        found = read(tmp_path, image_vectors=images, pairs=texts).pairs
    assert found is not None
    assert len(found.train) + len(found.held_out) == 48
    assert "name a picture without a vector" in caplog.text


def test_pairs_whose_pictures_are_not_there(tmp_path: Path, images: str):
    other = write_set(tmp_path / "other", WORLD.text(), names(60, "t"), image_id=names(60, "other"))
    with pytest.raises(DataError, match=r"no image_id of the \d+ texts in .*other stands among the image_vectors"):
        read(tmp_path, image_vectors=images, pairs=other)


def test_pairs_need_the_column_image_id_and_pictures(tmp_path: Path, images: str, texts: str):
    bare = write_set(tmp_path / "bare", WORLD.text(), names(60, "t"))
    with pytest.raises(DataError, match="no column 'image_id'"):
        read(tmp_path, image_vectors=images, pairs=bare)
    with pytest.raises(TrainingError, match="image_vectors"):
        read(tmp_path, pairs=texts, clip_text=write_clip(tmp_path, names(20)))


# Towers -------------------------------------------------------------------------------------------------------------


def test_text_sets_of_two_towers_are_refused(tmp_path: Path, images: str, texts: str):
    other = "sentence-transformers:planted/other"
    bank = write_set(tmp_path / "bank", WORLD.text(), names(60, "b"), other, lang=["cs"] * 60)
    with pytest.raises(MismatchError, match=f"pairs was made by {other}|text_bank was made by {other}"):
        read(tmp_path, image_vectors=images, pairs=texts, text_bank=bank)


@pytest.mark.parametrize("dim", [24, 30])
def test_validation_pairs_of_another_tower_are_refused(dim: int, tmp_path: Path, images: str, texts: str):
    vectors = unit(np.random.default_rng(0).normal(size=(60, dim)))
    other = write_set(tmp_path / "val", vectors, names(60, "v"), "sentence-transformers:planted/other", image_id=IDS)
    with pytest.raises(MismatchError, match=f"{TEXT_TOWER}.*planted/other"):
        read(tmp_path, image_vectors=images, pairs=texts, validation=other)


def test_two_towers_of_different_models_on_the_image_side_are_refused(tmp_path: Path, images: str):
    ids = names(20, "e")
    clip = write_set(tmp_path / "clip", planted(20).clip_text(), ids, "open_clip:planted/siglip", lang=["en"] * 20)
    with pytest.raises(MismatchError, match=r"planted/clip.*planted/siglip.*not two towers of one model"):
        read(tmp_path, english_text=write_english(tmp_path, ids), clip_text=clip, image_vectors=images)


def test_texts_and_pictures_that_were_exchanged_are_refused(tmp_path: Path, images: str, texts: str):
    with pytest.raises(MismatchError, match="pairs must hold text vectors"):
        read(tmp_path, image_vectors=texts, pairs=images)


def test_the_image_tower_is_known_from_its_text_tower_where_there_is_no_picture(tmp_path: Path):
    ids = names(20, "e")
    inputs = read(tmp_path, english_text=write_english(tmp_path, ids), clip_text=write_clip(tmp_path, ids))
    assert inputs.image_tower.spec == IMAGE_TOWER
    assert inputs.image_tower.modality == "image"
    assert inputs.have == {"english_text", "clip_text"}


def test_one_side_alone_is_refused(tmp_path: Path, images: str):
    with pytest.raises(TrainingError, match="no text vectors were given"):
        read(tmp_path, image_vectors=images)
    with pytest.raises(TrainingError, match="no side to align to"):
        read(tmp_path, english_text=write_english(tmp_path, names(20)))


# Shuffling ----------------------------------------------------------------------------------------------------------


def test_shuffling_moves_partners_and_nothing_else(tmp_path: Path, images: str, texts: str):
    ids = names(40, "e")
    inputs = read(
        tmp_path,
        english_text=write_english(tmp_path, ids),
        clip_text=write_clip(tmp_path, ids),
        image_vectors=images,
        pairs=texts,
    )
    moved = inputs.shuffled()
    for before, after in ((inputs.english, moved.english), (inputs.pairs, moved.pairs)):
        assert before is not None
        assert after is not None
        assert np.array_equal(before.text, after.text)
    before, after = inputs.english.clip_text, moved.english.clip_text  # type: ignore[union-attr]
    assert not np.array_equal(before, after)
    assert np.array_equal(np.sort(before, axis=0), np.sort(after, axis=0))
    assert not np.array_equal(inputs.pairs.images, moved.pairs.images)  # type: ignore[union-attr]
