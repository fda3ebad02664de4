"""Features of video clips become one vector a clip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fakes import files_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mella_retrieval.cli.embed import app
from mella_retrieval.embeddings import video_features
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.video_features import import_video_features, is_video_features, read_video2frames
from mella_retrieval.errors import ArtifactError, DataError, MellaError

SPEC = "open_clip:ViT-B-32/openai"
COUNTS = {"video1": 3, "video0": 1, "video2": 2}
FRAMES = {
    clip: (number + 1) * np.random.default_rng(number).normal(size=(count, 4)).astype(np.float32)
    for number, (clip, count) in enumerate(COUNTS.items())
}


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)


def bigfile(folder: Path, frames: dict[str, np.ndarray] = FRAMES, listed: bool = True) -> Path:
    """A BigFile whose rows stand in another order than the clips' frames, as in the published ones."""
    folder.mkdir(parents=True)
    rows = {f"{clip}_{number}": row for clip, stack in frames.items() for number, row in enumerate(stack)}
    names = sorted(rows, reverse=True)
    np.stack([rows[name] for name in names]).astype("<f4").tofile(folder / "feature.bin")
    (folder / "id.txt").write_text(" ".join(names))
    (folder / "shape.txt").write_text(f"{len(names)} {next(iter(frames.values())).shape[1]}\n")
    if listed:
        clips = {clip: [f"{clip}_{number}" for number in range(len(stack))] for clip, stack in frames.items()}
        (folder / "video2frames.txt").write_text(str(clips))
    return folder


def npy_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for clip, stack in FRAMES.items():
        np.save(folder / f"{clip}.npy", stack)
    return folder


def test_a_bigfile_is_averaged_clip_by_clip(tmp_path: Path) -> None:
    source = bigfile(tmp_path / "clip-b32")
    assert is_video_features(source)
    made = import_video_features(source, tmp_path / "set", SPEC)
    assert made.ids == ["video1", "video0", "video2"] and made.column("frames") == [3, 1, 2] and made.modality == "image"
    expected = unit(np.stack([stack.astype(np.float64).mean(0) for stack in FRAMES.values()]))
    np.testing.assert_allclose(made.vectors(), expected, atol=1e-6)
    described = json.loads((tmp_path / "set" / "manifest.json").read_text())["tower"]
    assert described["traits"] == {"frames": "mean"} and described["spec"] == SPEC and described["weights"] is None


def test_frames_may_be_normalised_before_the_mean(tmp_path: Path) -> None:
    source = bigfile(tmp_path / "features")
    plain = import_video_features(source, tmp_path / "set", SPEC).vectors()
    made = import_video_features(source, tmp_path / "set", SPEC, normalise_frames=True)
    expected = unit(np.stack([unit(stack).mean(0) for stack in FRAMES.values()]))
    np.testing.assert_allclose(made.vectors(), expected, atol=1e-6)
    assert np.abs(made.vectors() - plain).max() > 0.01 and made.tower.traits == {"frames": "mean of L2-normalised frames"}


def test_without_a_list_of_frames_every_row_is_a_clip(tmp_path: Path) -> None:
    source = bigfile(tmp_path / "features", listed=False)
    made = import_video_features(source, tmp_path / "set", SPEC)
    assert made.ids == ["video2_1", "video2_0", "video1_2", "video1_1", "video1_0", "video0_0"] and set(
        made.column("frames")
    ) == {1}
    np.testing.assert_allclose(made.vectors()[5], unit(FRAMES["video0"])[0], atol=1e-6)


def test_a_folder_of_arrays_gives_the_same_vectors(tmp_path: Path) -> None:
    source = npy_folder(tmp_path / "npy")
    (source / "notes.txt").write_text("other files do not matter")
    assert is_video_features(source)
    made = import_video_features(source, tmp_path / "set", SPEC)
    other = import_video_features(bigfile(tmp_path / "big"), tmp_path / "other", SPEC)
    assert made.ids == ["video0", "video1", "video2"]
    places = [other.ids.index(clip) for clip in made.ids]
    np.testing.assert_array_equal(made.vectors(), other.vectors()[places])


def test_the_size_of_the_blocks_changes_nothing_and_the_same_again_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bigfile(tmp_path / "features")
    whole = import_video_features(source, tmp_path / "a", SPEC)
    monkeypatch.setattr(video_features, "BLOCK_CLIPS", 2)
    made = import_video_features(source, tmp_path / "b", SPEC)
    assert [shard["rows"] for shard in made.manifest["shards"]] == [2, 1] and made.ids == whole.ids
    np.testing.assert_array_equal(made.vectors(), whole.vectors())
    before = files_of(tmp_path / "b")
    import_video_features(source, tmp_path / "b", SPEC)
    assert files_of(tmp_path / "b") == before


def test_another_name_of_a_file_is_another_clip(tmp_path: Path) -> None:
    source = npy_folder(tmp_path / "npy")
    import_video_features(source, tmp_path / "set", SPEC)
    (source / "video0.npy").rename(source / "video0b.npy")
    assert import_video_features(source, tmp_path / "set", SPEC).ids == ["video0b", "video1", "video2"]


@pytest.mark.parametrize("form", ["bigfile", "npy"])
@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "'video2': frame 1 has NaN or infinite"), (np.inf, "'video2': frame 1 has NaN or infinite")]
)
def test_a_frame_that_is_not_finite_names_its_clip(tmp_path: Path, form: str, value: float, message: str) -> None:
    frames = {clip: stack.copy() for clip, stack in FRAMES.items()}
    frames["video2"][1, 0] = value
    source = bigfile(tmp_path / "features", frames) if form == "bigfile" else npy_folder(tmp_path / "features")
    if form == "npy":
        np.save(source / "video2.npy", frames["video2"])
    with pytest.raises(DataError, match=message):
        import_video_features(source, tmp_path / "set", SPEC)
    assert not (tmp_path / "set").exists()


def test_zero_vectors_name_their_clip(tmp_path: Path) -> None:
    source = npy_folder(tmp_path / "npy")
    np.save(source / "video1.npy", np.array([[1, 0, 0, 0], [0, 0, 0, 0]], np.float32))
    assert len(import_video_features(source, tmp_path / "set", SPEC)) == 3  # a black frame is no reason to refuse a clip
    with pytest.raises(DataError, match="'video1': frame 1 is a zero vector"):
        import_video_features(source, tmp_path / "other", SPEC, normalise_frames=True)
    np.save(source / "video1.npy", np.array([[1, 0, 0, 0], [-1, 0, 0, 0]], np.float32))
    with pytest.raises(DataError, match="'video1': the mean of its frames is a zero vector"):
        import_video_features(source, tmp_path / "other", SPEC)


def test_a_clip_without_frames_is_named(tmp_path: Path) -> None:
    source = npy_folder(tmp_path / "npy")
    np.save(source / "video1.npy", np.zeros((0, 4), np.float32))
    with pytest.raises(DataError, match="the clip 'video1' has no frames"):
        import_video_features(source, tmp_path / "set", SPEC)
    source = bigfile(tmp_path / "features")
    (source / "video2frames.txt").write_text("{'video0': ['video0_0'], 'video9': []}")
    with pytest.raises(DataError, match="the clip 'video9' has no frames"):
        import_video_features(source, tmp_path / "set", SPEC)


def test_names_and_rows_out_of_step_are_named(tmp_path: Path) -> None:
    source = bigfile(tmp_path / "features")
    (source / "video2frames.txt").write_text("{'video0': ['video0_0', 'video0_1']}")
    with pytest.raises(DataError, match=r"the clip 'video0' has a frame 'video0_1' that id\.txt does not name"):
        import_video_features(source, tmp_path / "set", SPEC)
    names = (source / "id.txt").read_text().split()
    for ids, message in ((names[:-1], "6 rows, but id.txt names 5"), ([*names[:-1], names[0]], f"names '{names[0]}' twice")):
        (source / "id.txt").write_text(" ".join(ids))
        with pytest.raises(DataError, match=message):
            import_video_features(source, tmp_path / "set", SPEC)


def test_a_file_cut_short_names_the_first_frame_that_is_gone(tmp_path: Path) -> None:
    source = bigfile(tmp_path / "features")
    content = (source / "feature.bin").read_bytes()
    (source / "feature.bin").write_bytes(content[: 2 * 16 + 5])
    with pytest.raises(DataError, match=r"has 37 bytes, .* 96; the first row that is not whole belongs to 'video1_2'"):
        import_video_features(source, tmp_path / "set", SPEC)
    (source / "feature.bin").write_bytes(content + b"more")
    with pytest.raises(DataError, match="has 100 bytes, but 6 rows of 4 float32 numbers take 96"):
        import_video_features(source, tmp_path / "set", SPEC)
    (source / "feature.bin").unlink()
    assert is_video_features(source)
    with pytest.raises(DataError, match=r"not a whole BigFile: feature\.bin is missing"):
        import_video_features(source, tmp_path / "set", SPEC)


@pytest.mark.parametrize("shape", ["", "6", "6 4 1", "six 4", "6 -4", "6 ²", "0 4", "9" * 30 + " 4"])
def test_a_shape_that_says_nothing_is_refused(tmp_path: Path, shape: str) -> None:
    source = bigfile(tmp_path / "features")
    (source / "shape.txt").write_text(shape)
    with pytest.raises(DataError, match=r"shape\.txt"):
        import_video_features(source, tmp_path / "set", SPEC)


def test_arrays_of_another_shape_are_named(tmp_path: Path) -> None:
    source = npy_folder(tmp_path / "npy")
    np.save(source / "video2.npy", np.ones((2, 5), np.float32))
    with pytest.raises(DataError, match=r"the clip 'video2' has frames of shape \(2, 5\), but 4 dimensions"):
        import_video_features(source, tmp_path / "set", SPEC)
    np.save(source / "video2.npy", np.ones(4, np.float32))
    with pytest.raises(DataError, match=r"video2\.npy must hold floating-point vectors of shape \(rows, d\)"):
        import_video_features(source, tmp_path / "set", SPEC)
    (tmp_path / "empty").mkdir()
    assert not is_video_features(tmp_path / "empty")
    with pytest.raises(DataError, match="neither a BigFile"):
        import_video_features(tmp_path / "empty", tmp_path / "set", SPEC)


def test_frames_of_no_clip_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = bigfile(tmp_path / "features")
    (source / "video2frames.txt").write_text("{'video0': ['video0_0']}")
    assert import_video_features(source, tmp_path / "set", SPEC).ids == ["video0"]
    assert "5 of 6 frames belong to no clip" in caplog.text


# The command ----------------------------------------------------------------------------------------------------------


def test_the_command_imports_both_forms(tmp_path: Path) -> None:
    for name, source in (("big", bigfile(tmp_path / "bigfile")), ("npy", npy_folder(tmp_path / "arrays"))):
        ran = CliRunner().invoke(app, ["import", str(source), str(tmp_path / name), "-t", SPEC, "--normalise-frames"])
        assert ran.exit_code == 0, ran.output
        made = EmbeddingSet.load(tmp_path / name)
        assert len(made) == 3 and made.tower.traits == {"frames": "mean of L2-normalised frames"}


def test_the_command_refuses_what_has_no_frames(tmp_path: Path) -> None:
    source = bigfile(tmp_path / "bigfile")
    ran = CliRunner().invoke(app, ["import", str(source), str(tmp_path / "set"), "-t", SPEC, "--modality", "text"])
    assert ran.exit_code == 2 and "frames of video clips are images" in ran.output
    import_video_features(source, tmp_path / "set", SPEC)
    assert not is_video_features(tmp_path / "set")  # an embedding set is not a folder of clips
    ran = CliRunner().invoke(app, ["import", str(tmp_path / "set"), str(tmp_path / "again"), "-t", SPEC, "--normalise-frames"])
    assert ran.exit_code == 2 and "only video clips have frames" in ran.output


# video2frames.txt -----------------------------------------------------------------------------------------------------

_names = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=6)
_SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_SETTINGS
@given(st.dictionaries(_names, st.lists(_names, max_size=4), max_size=4), st.booleans())
def test_what_python_or_json_writes_is_read_back(tmp_path: Path, clips: dict[str, list[str]], as_json: bool) -> None:
    path = tmp_path / "video2frames.txt"
    path.write_text(json.dumps(clips, ensure_ascii=False, indent=1) if as_json else str(clips), encoding="utf-8", newline="")
    assert dict(read_video2frames(path)) == clips


@_SETTINGS
@given(st.text("{}[]:,'\"\\u ab\n", max_size=30) | st.text(max_size=10))
def test_any_other_text_is_refused_not_evaluated(tmp_path: Path, content: str) -> None:
    path = tmp_path / "video2frames.txt"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    try:
        found = list(read_video2frames(path))
    except DataError:
        return
    assert all(isinstance(name, str) for clip, frames in found for name in [clip, *frames])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("__import__('os').abort()", "'_' stands at character 1"),
        ("{'a': ['b'", r"its end stands at character 11 in the clip 'a'"),
        ("{'a': ['b' 'c']}", r"\"'c'\" stands at character 11 in the clip 'a'"),
        ("{'a': 1}", "'1' stands at character 6"),
        ("{'a': ['b']} {", "'{' stands at character 13"),
        ("{['a']}", r"'\[' stands at character 2"),
    ],
)
def test_the_place_of_what_does_not_belong_is_given(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(DataError, match=f"no dictionary of clips and their frames: {message}"):
        list(read_video2frames(tmp_path / "v.txt"))


@_SETTINGS
@given(st.sampled_from(["feature.bin", "id.txt", "shape.txt", "video2frames.txt"]), st.binary(max_size=120))
def test_any_bytes_in_the_place_of_a_file(tmp_path: Path, name: str, content: bytes) -> None:
    source = tmp_path / "features"
    if source.exists():
        for path in source.iterdir():
            path.unlink()
        source.rmdir()
    bigfile(source)
    (source / name).write_bytes(content)
    try:
        made: EmbeddingSet = import_video_features(source, tmp_path / "set", SPEC)
    except MellaError as error:
        assert not isinstance(error, ArtifactError) or "nothing to embed" in str(error)
        return
    assert np.isfinite(made.vectors()).all()
