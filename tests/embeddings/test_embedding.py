"""Embedding pictures and texts: what comes out, and what reaches the tower."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import FakeImageTower, FakeTextTower, files_of, picture_records, text_records, word_vector, write_pictures

from mella_retrieval.artifacts import writer_lock
from mella_retrieval.data.images import read_image
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.embeddings.embed import embed_images, embed_texts
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.settings import EmbedSettings
from mella_retrieval.encoders.towers import Encoded
from mella_retrieval.errors import ArtifactError, EncoderError, LockedError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "photos", 10)
    return tmp_path / "photos"


@pytest.fixture
def records(tmp_path: Path, photos: Path) -> Records:
    return picture_records(tmp_path / "records", photos, sorted(path.name for path in photos.iterdir()))


def directly(tower: FakeImageTower, photos: Path, sizes: list[int]) -> np.ndarray:
    """Vectors of all pictures encoded in batches of the given sizes."""
    prepared = [tower.prepare(read_image(path)) for path in sorted(photos.iterdir())]
    ends = np.cumsum(sizes)
    return np.concatenate([tower.encode(prepared[end - size : end]).pooled for size, end in zip(sizes, ends, strict=True)])


def test_vectors_stand_in_the_order_of_the_pictures_with_their_first_record(tmp_path: Path, records: Records, photos: Path):
    tower = FakeImageTower()
    made = embed_images(records, tower, tmp_path / "set", EmbedSettings(batch_size=3, shard_rows=8))
    assert tower.batches == [3, 3, 2, 2]
    assert made.ids == [f"p{number:03d}" for number in range(10)] and made.modality == "image" and made.dim == 6
    assert made.column("text") == [f"a picture of p{number:03d}.{'png' if number % 2 else 'jpg'}" for number in range(10)]
    np.testing.assert_array_equal(made.vectors(), directly(FakeImageTower(), photos, [3, 3, 2, 2]))
    np.testing.assert_allclose(np.linalg.norm(made.vectors(), axis=1), 1, atol=1e-6)
    assert [shard["batch_size"] for shard in made.manifest["shards"]] == [3, 3]
    rows = np.array([9, 0, 9, 7])
    np.testing.assert_array_equal(made.vectors(rows), made.vectors()[rows])
    with pytest.raises(IndexError, match="10"):
        made.vectors(np.array([10]))
    assert made.select({"image_id": ["p004", "p001"]}).ids == ["p001", "p004"]
    again = EmbeddingSet.load(tmp_path / "set", deep=True)
    assert [start for start, _ in again.blocks(5)] == [0, 5, 8] and again.fingerprint == made.fingerprint


def test_the_same_call_again_changes_nothing_and_asks_the_tower_nothing(tmp_path: Path, records: Records):
    embed_images(records, FakeImageTower(), tmp_path / "set")
    before = files_of(tmp_path)
    tower = FakeImageTower()
    embed_images(records, tower, tmp_path / "set")
    assert files_of(tmp_path) == before and tower.prepared == 0 and tower.encoded == 0


def test_pictures_are_prepared_ahead_but_not_the_whole_shard(tmp_path: Path):
    names = write_pictures(tmp_path / "many", 120)
    records = picture_records(tmp_path / "records", tmp_path / "many", names)
    tower = FakeImageTower(pause=0.01)
    embed_images(records, tower, tmp_path / "set", EmbedSettings(batch_size=4, workers=2))
    assert 4 < tower.most_waiting <= 4 * 2 + 2 * 4 + 4  # what runs ahead, and the batch


def test_unreadable_pictures_are_listed_with_their_reason(tmp_path: Path, photos: Path, records: Records):
    (photos / "p003.png").write_bytes(b"")
    (photos / "p004.jpg").unlink()
    (photos / "p007.png").write_bytes(b"GIF89a but not really")
    made = embed_images(records, FakeImageTower(), tmp_path / "set", EmbedSettings(shard_rows=3, batch_size=2))
    assert made.ids == [f"p{number:03d}" for number in (0, 1, 2, 5, 6, 8, 9)] and made.manifest["skipped"] == 3
    with (tmp_path / "set" / "skipped.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "input", "reason"] and [row[:2] for row in rows] == [
        ["p003", "p003.png"],
        ["p004", "p004.jpg"],
        ["p007", "p007.png"],
    ]
    assert "0 bytes" in rows[0][2] or "empty" in rows[0][2]
    assert rows[1][2] == "the file does not exist" and rows[2][2]


def test_a_shard_of_which_everything_is_skipped_does_not_disturb(tmp_path: Path, photos: Path, records: Records):
    for number in (2, 3):
        (photos / f"p{number:03d}.{'png' if number % 2 else 'jpg'}").write_bytes(b"broken")
    for tokens in (False, True):
        made = embed_images(records, FakeImageTower(), tmp_path / f"{tokens}", EmbedSettings(shard_rows=2, tokens=tokens))
        assert len(made.vectors()) == len(made.ids) == 8
        assert made.shard_vectors(1).shape == (0, 6)
    assert made.shard_tokens(1) == [] and len(made.shard_tokens(2)) == 2


def test_nothing_to_embed_is_an_error_and_mended_pictures_are_taken_the_next_time(tmp_path: Path, photos: Path, records: Records):
    photos.rename(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="All 10 inputs were skipped, the first because: the file does not exist"):
        embed_images(records, FakeImageTower(), tmp_path / "set")
    assert not (tmp_path / "set").exists() and not (tmp_path / "set.partial").exists()
    (tmp_path / "elsewhere").rename(photos)
    assert len(embed_images(records, FakeImageTower(), tmp_path / "set")) == 10


def test_token_vectors_are_ragged_and_come_back(tmp_path: Path, records: Records, photos: Path):
    made = embed_images(records, FakeImageTower(), tmp_path / "set", EmbedSettings(shard_rows=4, batch_size=3, tokens=True))
    tower = FakeImageTower()
    prepared = [tower.prepare(read_image(path)) for path in sorted(photos.iterdir())]
    wanted = tower.encode(prepared, tokens=True).tokens
    assert wanted is not None and len({len(states) for states in wanted}) > 1
    found = [states for shard in range(3) for states in made.shard_tokens(shard)]
    for states, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(states, expected, rtol=1e-4)  # the matrix product rounds by batch
    pooled_only = embed_images(records, FakeImageTower(), tmp_path / "other")
    with pytest.raises(ArtifactError, match="--tokens"):
        pooled_only.shard_tokens(0)


def test_texts_are_batched_by_length_and_stored_in_order(tmp_path: Path):
    texts = [("en", "cat"), ("hu", "kakas és tyúk az udvaron"), ("en", "a"), ("hu", "nyolc szó"), ("en", "eight ch")]
    records = text_records(tmp_path / "records", texts)
    tower = FakeTextTower()
    made = embed_texts(records, tower, tmp_path / "set", EmbedSettings(batch_size=2))
    assert [[len(text) for text in batch] for batch in tower.batches] == [[24, 9], [8, 3], [1]]
    assert made.ids == [f"t{row:03d}" for row in range(5)] and made.column("lang") == ["en", "hu", "en", "hu", "en"]
    assert made.manifest["truncated"] == {"hu": 2}
    single = embed_texts(records, FakeTextTower(), tmp_path / "single", EmbedSettings(batch_size=1), where={"lang": "hu"})
    np.testing.assert_allclose(single.vectors()[1], word_vector("nyolc szhu"))
    assert single.ids == ["t001", "t003"]


def test_texts_of_which_the_preparation_leaves_nothing_are_skipped(tmp_path: Path):
    records = text_records(tmp_path / "records", [("en", "cat"), ("en", "~~"), ("en", "dog")])
    made = embed_texts(records, FakeTextTower(), tmp_path / "set")
    assert made.ids == ["t000", "t002"]
    assert "t001" in (tmp_path / "set" / "skipped.csv").read_text()


def test_only_new_and_changed_pictures_reach_the_tower(tmp_path: Path, photos: Path, records: Records):
    settings = EmbedSettings(batch_size=2, shard_rows=4)
    old = embed_images(records, FakeImageTower(), tmp_path / "set", settings)
    former = dict(zip(old.ids, old.vectors(), strict=True))
    (photos / "p001.png").write_bytes((photos / "p003.png").read_bytes())  # known content under another name
    write_pictures(tmp_path / "new", 12, seed=3)
    (photos / "p010.jpg").write_bytes((tmp_path / "new" / "p010.jpg").read_bytes())
    (photos / "p005.png").write_bytes((tmp_path / "new" / "p005.png").read_bytes())
    (photos / "p002.jpg").unlink()
    changed = picture_records(tmp_path / "records", photos, sorted(path.name for path in photos.iterdir()))
    tower = FakeImageTower()
    made = embed_images(changed, tower, tmp_path / "set", settings)
    assert tower.encoded == 2  # p005 and p010
    assert "p002" not in made.ids and len(made) == 10
    vectors = dict(zip(made.ids, made.vectors(), strict=True))
    for same in ("p000", "p003", "p009"):
        np.testing.assert_array_equal(vectors[same], former[same])
    np.testing.assert_array_equal(vectors["p001"], former["p003"])
    assert not np.allclose(vectors["p005"], former["p005"])


def test_a_picture_file_that_was_exchanged_is_noticed_though_the_records_are_the_same(
    tmp_path: Path, photos: Path, records: Records
):
    old = embed_images(records, FakeImageTower(), tmp_path / "set").vectors()
    write_pictures(tmp_path / "new", 10, seed=3)
    other = (tmp_path / "new" / "p005.png").read_bytes()
    (photos / "p005.png").write_bytes(other + bytes(8))  # another size
    tower = FakeImageTower()
    new = embed_images(records, tower, tmp_path / "set").vectors()
    assert tower.encoded == 1
    assert np.flatnonzero(np.abs(old - new).max(axis=1) > 1e-4).tolist() == [5]


def test_new_texts_alone_reach_the_tower(tmp_path: Path):
    embed_texts(text_records(tmp_path / "a", [("en", "cat"), ("en", "dog")]), FakeTextTower(), tmp_path / "set")
    tower = FakeTextTower()
    records = text_records(tmp_path / "b", [("en", "dog"), ("hu", "dog"), ("en", "cow")])
    made = embed_texts(records, tower, tmp_path / "set")
    assert tower.encoded == 2 and made.column("text") == ["dog", "dog", "cow"]  # the language counts too


@pytest.mark.parametrize(
    ("tower", "settings", "asked"),
    [
        (FakeImageTower(), EmbedSettings(shard_rows=3), 0),
        (FakeImageTower(), EmbedSettings(batch_size=5), 0),
        (FakeImageTower(weights="c" * 64), EmbedSettings(), 10),
        (FakeImageTower(precision="bf16"), EmbedSettings(), 10),
        (FakeImageTower(), EmbedSettings(dtype="float16"), 10),
        (FakeImageTower(), EmbedSettings(tokens=True), 10),
    ],
)
def test_other_settings_reuse_vectors_of_the_same_tower_and_precision_only(
    tmp_path: Path, records: Records, tower: FakeImageTower, settings: EmbedSettings, asked: int
):
    embed_images(records, FakeImageTower(), tmp_path / "set")
    tower.batches.clear()
    made = embed_images(records, tower, tmp_path / "set", settings)
    assert tower.encoded == asked and len(made) == 10
    assert sorted(path.name for path in tmp_path.glob("*set*")) == [".set.lock", "set"]


def test_a_tower_that_moved_keeps_its_vectors(tmp_path: Path, records: Records):
    embed_images(records, FakeImageTower(), tmp_path / "set")
    tower = FakeImageTower()
    tower.info = tower.info.model_copy(update={"spec": "module:elsewhere:Colours"})
    assert embed_images(records, tower, tmp_path / "set").tower.spec == "module:elsewhere:Colours"
    assert tower.encoded == 0


def failing(tower: FakeImageTower, after: int) -> FakeImageTower:
    """The tower dies with its batch number `after`."""
    encode = tower.encode

    def encoding(batch: list[torch.Tensor], tokens: bool = False) -> Encoded:
        if len(tower.batches) == after:
            raise KeyboardInterrupt
        return encode(batch, tokens)

    tower.encode = encoding  # type: ignore[method-assign]
    return tower


def test_unfinished_sets_of_several_other_jobs_are_reused(tmp_path: Path, photos: Path):
    names = sorted(path.name for path in photos.iterdir())
    settings = EmbedSettings(batch_size=2, shard_rows=2)
    for turn, (count, done) in enumerate(((6, 2), (8, 0), (10, 1))):
        records = picture_records(tmp_path / f"records{turn}", photos, names[10 - count :])
        with pytest.raises(KeyboardInterrupt):
            embed_images(records, failing(FakeImageTower(), done), tmp_path / "set", settings)
    tower = FakeImageTower()
    records = picture_records(tmp_path / "records", photos, names)
    embed_images(records, tower, tmp_path / "set", settings)
    assert tower.encoded == 10 - 4 - 2  # two shards of the first job, one of the third
    assert sorted(path.name for path in tmp_path.glob("*set*")) == [".set.lock", "set"]


def test_running_out_of_memory_halves_the_batch_and_is_recorded(tmp_path: Path, records: Records, photos: Path):
    tower = FakeImageTower(fits=3)
    seen: list[tuple[int, int]] = []
    made = embed_images(records, tower, tmp_path / "set", EmbedSettings(shard_rows=6), progress=lambda *now: seen.append(now))
    assert tower.batches == [2, 2, 2, 2, 2]  # 64, 32, 16, 8 and 4 do not fit
    assert [shard["batch_size"] for shard in made.manifest["shards"]] == [2, 2]
    assert seen[-1] == (10, 10) and max(done for done, _ in seen) == 10
    np.testing.assert_array_equal(made.vectors(), directly(FakeImageTower(), photos, [2] * 5))


def test_memory_that_does_not_suffice_for_one_input_is_a_clear_error(tmp_path: Path, records: Records):
    with pytest.raises(EncoderError, match="memory is not enough for a batch of 1"):
        embed_images(records, FakeImageTower(fits=0), tmp_path / "set")
    text = text_records(tmp_path / "texts", [("en", "cat")])
    with pytest.raises(EncoderError, match="memory is not enough"):
        embed_texts(text, FakeTextTower(fits=0), tmp_path / "text-set")


def test_progress_goes_on_where_a_killed_job_stopped(tmp_path: Path, records: Records):
    settings = EmbedSettings(batch_size=2, shard_rows=4)
    with pytest.raises(KeyboardInterrupt):
        embed_images(records, failing(FakeImageTower(), 3), tmp_path / "set", settings)
    seen: list[tuple[int, int]] = []
    tower = FakeImageTower()
    embed_images(records, tower, tmp_path / "set", settings, progress=lambda *now: seen.append(now))
    assert seen[0] == (4, 10) and seen[-1] == (10, 10) and tower.encoded == 6


def test_the_batch_that_a_tower_refuses_is_named(tmp_path: Path, records: Records):
    class Refusing(FakeImageTower):
        def encode(self, batch: list[torch.Tensor], tokens: bool = False) -> Encoded:  # type: ignore[override]
            raise EncoderError("the vector is zero")

    with pytest.raises(EncoderError, match=r"'p000' \.\.\. 'p003': the vector is zero"):
        embed_images(records, Refusing(), tmp_path / "set", EmbedSettings(batch_size=4))


def test_the_picture_that_a_tower_cannot_prepare_is_named(tmp_path: Path, records: Records):
    class Choosy(FakeImageTower):
        def prepare(self, image: object) -> torch.Tensor:
            raise ValueError("too small")

    with pytest.raises(EncoderError, match=r"could not prepare the picture p000\.jpg: too small"):
        embed_images(records, Choosy(), tmp_path / "set")


def test_a_second_writer_is_refused(tmp_path: Path, records: Records):
    with writer_lock(tmp_path / "set"), pytest.raises(LockedError, match="another process"):
        embed_images(records, FakeImageTower(), tmp_path / "set")


def test_record_columns_named_like_those_of_the_set_are_kept_apart(tmp_path: Path, photos: Path):
    records = picture_records(tmp_path / "records", photos, ["p000.jpg"], id="mine", content="a cat", tokens="cat")
    made = embed_images(records, FakeImageTower(), tmp_path / "set", EmbedSettings(tokens=True))
    assert made.ids == ["p000"] and len(made.shard_tokens(0)) == 1
    assert [made.column(f"record_{name}") for name in ("id", "content", "tokens")] == [["mine"], ["a cat"], ["cat"]]


@pytest.mark.parametrize("place", ["set", "set.partial"])
def test_a_folder_of_other_files_is_never_replaced(tmp_path: Path, records: Records, place: str):
    (tmp_path / place).mkdir()
    (tmp_path / place / "holiday.jpg").write_bytes(b"dear")
    with pytest.raises(ArtifactError, match=r"another folder|other files"):
        embed_images(records, FakeImageTower(), tmp_path / "set")
    assert (tmp_path / place / "holiday.jpg").read_bytes() == b"dear"
    with pytest.raises(ArtifactError, match="kind 'embeddings' is needed"):
        embed_images(records, FakeImageTower(), tmp_path / "records")


def test_neighbours_with_similar_names_are_left_alone(tmp_path: Path, records: Records):
    for name in ("set.old", "set.stale"):
        (tmp_path / name).mkdir()
    embed_images(records, FakeImageTower(), tmp_path / "set")
    embed_images(records, FakeImageTower(), tmp_path / "set", EmbedSettings(batch_size=1))
    assert (tmp_path / "set.old").is_dir() and (tmp_path / "set.stale").is_dir()


def test_a_shard_of_an_unfinished_set_that_was_damaged_is_made_again(tmp_path: Path, records: Records):
    settings = EmbedSettings(batch_size=2, shard_rows=2)
    whole = files_of(embed_images(records, FakeImageTower(), tmp_path / "whole", settings).folder)
    with pytest.raises(KeyboardInterrupt):
        embed_images(records, failing(FakeImageTower(), 3), tmp_path / "set", settings)
    path = tmp_path / "set.partial" / "part-00001.npy"
    path.write_bytes(path.read_bytes()[:-4])
    tower = FakeImageTower()
    made = embed_images(records, tower, tmp_path / "set", settings)
    assert tower.encoded == 8 and files_of(made.folder) == whole
    for name in ("[]", "{", '{"key": 1}'):
        (tmp_path / "other.partial").mkdir(exist_ok=True)
        (tmp_path / "other.partial" / "journal.json").write_text(name)
        with pytest.raises(ArtifactError, match=r"journal\.json"):
            embed_images(records, FakeImageTower(), tmp_path / "other", settings)


@pytest.mark.parametrize("damage", ["cut", "flip", "missing"])
@pytest.mark.parametrize("name", ["part-00001.npy", "part-00000.parquet"])
def test_damaged_shards_are_named(tmp_path: Path, records: Records, name: str, damage: str):
    embed_images(records, FakeImageTower(), tmp_path / "set", EmbedSettings(shard_rows=5))
    path = tmp_path / "set" / name
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes({"cut": bytes(data[:-9]), "flip": bytes(data), "missing": b""}[damage])
    if damage == "missing":
        path.unlink()
    with pytest.raises(ArtifactError, match=name):
        EmbeddingSet.load(tmp_path / "set", deep=True)
    with pytest.raises(ArtifactError, match=name):  # and its vectors are not reused
        embed_images(records, FakeImageTower(), tmp_path / "set", EmbedSettings(shard_rows=3))


def test_damaged_manifests_are_named(tmp_path: Path, records: Records):
    embed_images(records, FakeImageTower(), tmp_path / "set")
    path = tmp_path / "set" / "manifest.json"
    good = json.loads(path.read_text())
    damaged = [{**good, "shards": [{}]}, {**good, "tower": {"spec": 1}}, {**good, "rows": 9}, {**good, "shards": 5}]
    for text in ("", '{"kind": "embe', *map(json.dumps, damaged)):
        path.write_text(text)
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            EmbeddingSet.load(tmp_path / "set")
    path.unlink()
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        EmbeddingSet.load(tmp_path / "set")
    with pytest.raises(ArtifactError, match="there is no folder"):
        EmbeddingSet.load(tmp_path / "absent")


def test_an_unfinished_set_says_how_to_finish_it(tmp_path: Path, records: Records):
    with pytest.raises(KeyboardInterrupt):
        embed_images(records, failing(FakeImageTower(), 1), tmp_path / "set", EmbedSettings(batch_size=2))
    with pytest.raises(ArtifactError, match="run the same `mella embed` command again"):
        EmbeddingSet.load(tmp_path / "set")


def test_a_full_disk_is_one_clear_error_and_a_run_with_space_finishes(tmp_path: Path, tiny_disk: Path):
    texts = [("en", f"text {row} {'long ' * 40}") for row in range(1500)]
    records = text_records(tmp_path / "records", texts)
    settings = EmbedSettings(shard_rows=300, batch_size=64)
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(110_000))
    tower = FakeTextTower()
    with pytest.raises(ArtifactError, match=r"could not write .*No space left on device"):
        embed_texts(records, tower, tiny_disk / "set", settings)
    assert 0 < tower.encoded < 1500
    ballast.unlink()
    again = FakeTextTower()
    made = embed_texts(records, again, tiny_disk / "set", settings)
    assert again.encoded < 1500 and tower.encoded + again.encoded <= 1500 + 300
    expected = embed_texts(records, FakeTextTower(), tmp_path / "set", settings)
    assert files_of(made.folder) == files_of(expected.folder)


def test_pictures_without_a_file_of_their_own_are_left_out(tmp_path: Path, photos: Path):
    items = [RawRecord("a", "", "no picture", "en"), RawRecord("b", "p001.png", "a picture", "en")]
    write_records(tmp_path / "records", items, image_root=photos)
    assert embed_images(Records.load(tmp_path / "records"), FakeImageTower(), tmp_path / "set").ids == ["b"]
