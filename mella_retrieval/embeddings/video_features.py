"""Import features of video clips, frame by frame, as one vector a clip.

Two forms are read:

- **BigFile** (NRCCR, LECCR, and the video retrieval work before them): `feature.bin`, float32 rows, little-endian; `shape.txt`,
  the number of rows and their length; `id.txt`, the rows' names parted by white space; and, where a row is a frame,
  `video2frames.txt`, a Python dictionary from a clip's id to the names of its frames. Without it a row is a clip (or a picture).
- **a folder of `<clip id>.npy`**, each of shape (frames, d).

The frames of a clip are averaged as they are, or each L2-normalised before (`normalise_frames`); the mean is then L2-normalised.
Which of the two stands in the set's manifest, as the trait `frames` of its tower. Vectors are read clip by clip from memory maps.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mella_retrieval.artifacts import MANIFEST, fingerprint, sha256_file
from mella_retrieval.data.formats import clip_retrieval
from mella_retrieval.data.formats.clip_retrieval import open_vectors
from mella_retrieval.embeddings.imports import Block, import_vectors, imported_tower
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import DataError

Frames = npt.NDArray[np.floating[Any]]
Clip = tuple[str, Frames]
"""A clip's id and its frames, shape (frames, d)."""

BLOCK_CLIPS = 4096
_BIGFILE = ("feature.bin", "shape.txt", "id.txt")
_VIDEO2FRAMES = "video2frames.txt"
_TOKEN = re.compile(r"""\s*(?:(?P<text>u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*")|(?P<mark>[{}\[\]:,])|(?P<other>\S))""")

log = logging.getLogger(__name__)


def is_video_features(folder: Path) -> bool:
    """Whether a folder is a BigFile (or the rest of one), or holds .npy files and is nothing else that has some."""
    if any((folder / name).is_file() for name in _BIGFILE):
        return True
    if (folder / MANIFEST).is_file() or clip_retrieval.recognises(folder):
        return False
    return next(folder.glob("*.npy"), None) is not None


def import_video_features(folder: Path | str, out: Path | str, spec: str, *, normalise_frames: bool = False) -> EmbeddingSet:
    """Import a BigFile or a folder of .npy files as an image embedding set, one row a clip; `frames` is how many were averaged.

    Args:
        folder: the BigFile or the folder of .npy files.
        out: folder of the embedding set. Its ids are the clips' ids.
        spec: the encoder that made the features, as its owner knows it.
        normalise_frames: L2-normalise every frame before the mean.

    Raises:
        DataError: a file is missing, cut short or not of this form; names and rows are out of step; a clip has no frames, other
            dimensions than the first, or NaN, infinite or zero vectors. The clip is named.
    """
    folder = Path(folder)
    if any((folder / name).is_file() for name in _BIGFILE):
        files = [folder / name for name in _BIGFILE]
        if (folder / _VIDEO2FRAMES).is_file():
            files.append(folder / _VIDEO2FRAMES)
        dim, clips = _open_bigfile(folder)
    else:
        files = sorted(folder.glob("*.npy"))
        if not files:
            raise DataError(f"{folder} is neither a BigFile ({', '.join(_BIGFILE)}) nor a folder of .npy files.")
        dim = int(open_vectors(files[0]).shape[1])
        clips = ((path.stem, open_vectors(path)) for path in files)
    traits = {"frames": "mean of L2-normalised frames" if normalise_frames else "mean"}
    tower = imported_tower(spec, "image", dim).model_copy(update={"traits": traits})
    source = fingerprint([[path.name, sha256_file(path)] for path in files])  # a file's name is its clip's id
    return import_vectors(out, tower, _blocks(clips, dim, normalise_frames), source)


def _blocks(clips: Iterator[Clip], dim: int, normalise_frames: bool) -> Iterator[Block]:
    while group := list(islice(clips, BLOCK_CLIPS)):
        vectors = np.stack([_pooled(clip, frames, dim, normalise_frames) for clip, frames in group])
        counts = pa.array([len(frames) for _, frames in group], pa.int64())
        yield vectors, pa.table({"id": pa.array([clip for clip, _ in group], pa.string()), "frames": counts})


def _pooled(clip: str, frames: Frames, dim: int, normalise_frames: bool) -> npt.NDArray[np.float64]:
    """Mean of a clip's frames, float64, not normalised."""
    if frames.ndim != 2 or frames.shape[1] != dim:
        raise DataError(f"the clip {clip!r} has frames of shape {frames.shape}, but {dim} dimensions are expected.")
    if len(frames) == 0:
        raise DataError(f"the clip {clip!r} has no frames.")
    values = np.asarray(frames, dtype=np.float64)
    norms = np.linalg.norm(values, axis=1)
    bad = np.flatnonzero(~np.isfinite(norms))
    if len(bad):
        raise DataError(f"the clip {clip!r}: frame {bad[0]} has NaN or infinite values ({len(bad)} such frames).")
    if normalise_frames:
        if not norms.all():
            raise DataError(f"the clip {clip!r}: frame {int(np.argmin(norms))} is a zero vector and cannot be normalised.")
        values = values / norms[:, None]
    mean: npt.NDArray[np.float64] = values.mean(axis=0)
    if not mean.any():
        raise DataError(f"the clip {clip!r}: the mean of its frames is a zero vector.")
    return mean


def _open_bigfile(folder: Path) -> tuple[int, Iterator[Clip]]:
    """Dimension and clips of a BigFile whose files were compared with one another."""
    missing = [name for name in _BIGFILE if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} is not a whole BigFile: {', '.join(missing)} is missing.")
    rows, dim = _shape(folder / "shape.txt")
    names = _text(folder / "id.txt").split()
    if len(names) != rows:
        raise DataError(
            f"{folder}: shape.txt says {rows} rows, but id.txt names {len(names)} "
            f"(the last: {names[-1] if names else 'none'!r}). They are out of step."
        )
    places = {name: row for row, name in enumerate(names)}
    if len(places) != rows:
        repeated = next(name for row, name in enumerate(names) if places[name] != row)
        raise DataError(f"{folder / 'id.txt'} names {repeated!r} twice.")
    size = (folder / "feature.bin").stat().st_size
    if size != 4 * rows * dim:
        whole = size // (4 * dim)
        first = f"; the first row that is not whole belongs to {names[whole]!r}" if whole < rows else ""
        raise DataError(
            f"{folder / 'feature.bin'} has {size} bytes, but {rows} rows of {dim} float32 numbers take {4 * rows * dim}{first}."
        )
    vectors = np.memmap(folder / "feature.bin", dtype="<f4", mode="r", shape=(rows, dim))
    if (folder / _VIDEO2FRAMES).is_file():
        return dim, _clips(folder / _VIDEO2FRAMES, places, vectors)
    return dim, ((name, vectors[row : row + 1]) for name, row in places.items())


def _shape(path: Path) -> tuple[int, int]:
    parts = _text(path).split()
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
        raise DataError(f"{path} must hold two numbers, rows and dimensions, not {' '.join(parts)[:80]!r}.")
    rows, dim = int(parts[0]), int(parts[1])
    if rows == 0 or dim == 0:
        raise DataError(f"{path} says that there are {rows} rows of {dim} numbers: there is nothing to import.")
    return rows, dim


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _clips(path: Path, places: dict[str, int], vectors: Frames) -> Iterator[Clip]:
    used = 0
    for clip, frames in read_video2frames(path):
        unknown = next((frame for frame in frames if frame not in places), None)
        if unknown is not None:
            raise DataError(f"{path}: the clip {clip!r} has a frame {unknown!r} that id.txt does not name. They are out of step.")
        used += len(frames)
        yield clip, vectors[[places[frame] for frame in frames]] if frames else vectors[:0]
    if used < len(places):
        log.warning("%s: %d of %d frames belong to no clip and were not used", path, len(places) - used, len(places))


def read_video2frames(path: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """Clips and the names of their frames from a dictionary as Python (or JSON) writes it. Nothing in it is evaluated.

    Raises:
        DataError: the file is no dictionary of lists of names; the place is given.
    """
    tokens = _tokens(path)
    _expect(path, tokens, "{")
    place, token = next(tokens)
    while token != "}":
        clip = _name(path, place, token)
        _expect(path, tokens, ":")
        _expect(path, tokens, "[")
        frames: list[str] = []
        place, token = next(tokens)
        while token != "]":
            frames.append(_name(path, place, token, clip))
            place, token = next(tokens)
            if token == ",":
                place, token = next(tokens)
            elif token != "]":
                raise _unexpected(path, place, token, clip)
        yield clip, frames
        place, token = next(tokens)
        if token == ",":
            place, token = next(tokens)
        elif token != "}":
            raise _unexpected(path, place, token, clip)
    place, token = next(tokens)
    if token:
        raise _unexpected(path, place, token)


def _tokens(path: Path) -> Iterator[tuple[int, str]]:
    """Place and text of each token, then an endless row of empty ones."""
    content = _text(path)
    for found in _TOKEN.finditer(content):
        yield found.start(), found.group().strip()
    while True:
        yield len(content), ""


def _expect(path: Path, tokens: Iterator[tuple[int, str]], wanted: str) -> None:
    place, token = next(tokens)
    if token != wanted:
        raise _unexpected(path, place, token)


def _name(path: Path, place: int, token: str, clip: str = "") -> str:
    if len(token) < 2 or token[-1] not in "'\"":
        raise _unexpected(path, place, token, clip)
    text = token.removeprefix("u")
    try:
        return str(ast.literal_eval(text)) if "\\" in text else text[1:-1]
    except (SyntaxError, ValueError):
        raise _unexpected(path, place, token, clip) from None


def _unexpected(path: Path, place: int, token: str, clip: str = "") -> DataError:
    found = repr(token[:40]) if token else "its end"
    where = f" in the clip {clip!r}" if clip else ""
    return DataError(f"{path} is no dictionary of clips and their frames: {found} stands at character {place + 1}{where}.")
