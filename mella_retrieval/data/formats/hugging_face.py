"""Data sets of the `datasets` library: a folder that `save_to_disk` wrote, or anything that `load_dataset` finds.

    mella data import saved/ records lang=hu
    mella data import hf:OWNER/NAME records lang=hu split=train
    mella data import hf:OWNER/NAME/CONFIG records revision=COMMIT streaming=false
    mella data import hf:./folder-of-parquet records

With `streaming` (the default) only what is being read comes over the network, and nothing is stored but the records. Pictures
are not decoded: their files are taken as they are. A row is read as a table's row is; all splits are read unless one is named,
and the column `split` says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mella_retrieval.data.formats.row_records import RowOptions, RowRecords
from mella_retrieval.data.formats.rows import Row, batch_rows
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.encoders.hub import reaching_hub
from mella_retrieval.errors import DataError, HubError, MellaError

PREFIX = "hf:"
"""How a source that `load_dataset` is to find begins."""

_BATCH = 1000
_HEAVY_BATCH = 64
_MARKS = ("dataset_dict.json", "state.json")


class HuggingFaceOptions(RowOptions):
    """As for rows of any origin, and what to load.

    Attributes:
        split: one split ("train", "train[:1000]" where it is not streamed); all by default.
        revision: commit, tag or branch of the repository.
        config: configuration of the data set, instead of the third part of its name.
        streaming: read over the network as it is needed; false downloads the whole into the library's cache first.
    """

    split: str = ""
    revision: str | None = None
    config: str = ""
    streaming: bool = True


def is_remote(source: Path | str) -> bool:
    """Whether a source is a name for `load_dataset`."""
    return str(source).startswith(PREFIX)


def on_disk(source: Path) -> Path | None:
    """The file or folder that a source means; None for a name on a hub."""
    name = str(source)
    if not name.startswith(PREFIX):
        return source
    path = Path(name.removeprefix(PREFIX)).expanduser()
    plain = name.removeprefix(PREFIX).startswith(("/", "./", "../", "~")) or str(path) in (".", "..")
    return path if plain or path.is_dir() else None


def recognises(source: Path) -> bool:
    """A folder of `save_to_disk`, or a name with `hf:` before it."""
    return is_remote(source) or any((source / name).is_file() for name in _MARKS)


def read(source: Path, options: HuggingFaceOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The rows of all splits.

    Raises:
        DataError: the folder or the data is damaged, or lacks the split or a column.
        HubError: the hub cannot be reached, or has no such data set.
    """
    records = RowRecords(options)
    if is_remote(source):
        with _loading(str(source)):
            splits = _load(source, options)
    else:
        splits = _saved(source, options.split)
    for split, data in splits.items():
        name = f"split {split}" if split else source.name
        yield from records.read(_rows(name, split, data, str(source)), str(source))
    yield from records.notes()


def _saved(source: Path, split: str) -> dict[str, Any]:
    """The splits of a folder of `save_to_disk`; a data set without splits stands under ""."""
    import datasets

    try:
        found = datasets.load_from_disk(str(source))
    except Exception as error:  # Arrow, JSON and file errors, as the damage will have it
        raise DataError(f"{source} cannot be read as a folder of save_to_disk: {_first_line(error)}") from None
    splits = dict(found) if isinstance(found, datasets.DatasetDict) else {str(found.split or ""): found}
    return _chosen(splits, split, str(source))


def _load(source: Path, options: HuggingFaceOptions) -> dict[str, Any]:
    """The splits that `load_dataset` finds."""
    place = on_disk(source)
    if place is not None:
        found = _found(str(place), "", options)
    else:
        parts = str(source).removeprefix(PREFIX).split("/")
        name = "/".join(parts[:2])
        with reaching_hub() as answers:
            if not answers and options.streaming:
                raise HubError(
                    f"{source} cannot be read: the hub cannot be reached. Without a network, run `hf download {name} --repo-type "
                    f"dataset --local-dir FOLDER` on another machine, copy the folder and import {PREFIX}./FOLDER."
                )
            found = _found(name, "/".join(parts[2:]), options)
    if isinstance(found, dict):  # the library's dictionaries of splits are dictionaries
        return {str(split): data for split, data in found.items()}
    return {options.split: found}


def _found(name: str, config: str, options: HuggingFaceOptions) -> Any:
    import datasets

    split, revision, streaming = options.split or None, options.revision, options.streaming
    return datasets.load_dataset(name, options.config or config or None, split=split, revision=revision, streaming=streaming)


def _chosen(splits: dict[str, Any], split: str, where: str) -> dict[str, Any]:
    if not split:
        return splits
    if split not in splits:
        raise DataError(f"{where} has no split {split!r}; it has {', '.join(name or '(none named)' for name in splits)}.")
    return {split: splits[split]}


def _rows(name: str, split: str, data: Any, source: str) -> Iterator[Row | Rejected]:
    """The rows of one split: classes by name, pictures as they are stored, the split as a column."""
    import datasets

    features = dict(data.features or {})
    classes = {column: feature.names for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)}
    heavy = not features or any(isinstance(feature, datasets.Image) for feature in features.values())
    if features and isinstance(data, datasets.IterableDataset):
        data = data.decode(False)
    with _loading(source):
        tables = data.with_format("arrow").iter(_HEAVY_BATCH if heavy else _BATCH)
        for where, row in batch_rows(name, tables):
            named = {**row, **{column: _class(names, row[column]) for column, names in classes.items()}}
            if split:
                named.setdefault("split", split)
            problem = _fetch(where, named)
            yield problem if problem is not None else (where, named)


def _class(names: list[str], number: Any) -> str | None:
    return names[number] if isinstance(number, int) and 0 <= number < len(names) else None


def _fetch(where: str, row: dict[str, Any]) -> Rejected | None:
    """Read pictures that stand beside the data on the hub, or in an archive, and that only a path names."""
    import fsspec  # type: ignore[import-untyped]

    for column, value in row.items():
        if not isinstance(value, Mapping) or value.keys() != {"bytes", "path"} or value["bytes"]:
            continue
        path = value["path"] or ""
        if path.startswith("hf://") or "::" in path:
            try:
                with fsspec.open(path) as file:
                    row[column] = file.read()
            except Exception as error:  # each protocol has errors of its own
                return Rejected(where, f"picture cannot be read: {path[:200]} ({_first_line(error)})")
    return None


@contextmanager
def _loading(source: str) -> Iterator[None]:
    """What the library raises, as one sentence."""
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except (MellaError, GeneratorExit):
        raise
    except DatasetNotFoundError as error:
        raise HubError(
            f"{source} cannot be loaded: {_first_line(error)} Check the name, or log in with `hf auth login`."
        ) from error
    except ConnectionError as error:
        raise HubError(f"{source} cannot be read: the hub cannot be reached ({_first_line(error)}).") from error
    except Exception as error:  # of the file formats, of HTTP clients, of the library itself
        raise DataError(f"{source} cannot be read by the library datasets: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
