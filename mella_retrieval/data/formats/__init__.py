"""The formats that records are read from: one file each, and one line each in `READERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mella_retrieval.data.formats import (
    cifar10,
    class_folder,
    clip_retrieval,
    coco_captions,
    coco_cn,
    folder,
    hugging_face,
    iglue,
    karpathy,
    mella,
    multi30k,
    nrccr,
    parallel_lines,
    pocket,
    stl10,
    table,
    uclip,
    vatex,
    webdataset,
    xm3600,
    xtd10,
)
from mella_retrieval.data.formats.captions import PictureOptions
from mella_retrieval.data.formats.rows import SUFFIXES
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.recipes import Strict, suggest


class Format(NamedTuple):
    """How one format is read.

    Attributes:
        read: (source, options) -> what stands there, row by row; image paths are relative to the source's folder.
        recognises: whether a file or folder looks like this format; cheap.
        options: the options that `read` takes.
        test_set: repeated records and texts with control characters are kept, because a test set must not shrink.
    """

    read: Callable[[Path, Any], Iterator[RawRecord | Rejected | Note]]
    recognises: Callable[[Path], bool]
    options: type[Strict]
    test_set: bool = False


# Asked in this order when the format is to be found: the more particular first.
READERS: dict[str, Format] = {
    "pocket": Format(pocket.read, pocket.recognises, pocket.PocketOptions),
    "mella": Format(mella.read, mella.recognises, mella.MellaOptions),
    "clip-retrieval": Format(clip_retrieval.read, clip_retrieval.recognises, clip_retrieval.ClipRetrievalOptions),
    "xm3600": Format(xm3600.read, xm3600.recognises, xm3600.XM3600Options, test_set=True),
    "uclip": Format(uclip.read, uclip.recognises, uclip.UCLIPOptions, test_set=True),
    "xtd10": Format(xtd10.read, xtd10.recognises, PictureOptions, test_set=True),
    "multi30k": Format(multi30k.read, multi30k.recognises, multi30k.Multi30KOptions, test_set=True),
    "karpathy": Format(karpathy.read, karpathy.recognises, karpathy.KarpathyOptions, test_set=True),
    "coco-captions": Format(coco_captions.read, coco_captions.recognises, coco_captions.COCOCaptionsOptions, test_set=True),
    "coco-cn": Format(coco_cn.read, coco_cn.recognises, coco_cn.COCOCNOptions, test_set=True),
    "nrccr": Format(nrccr.read, nrccr.recognises, nrccr.NRCCROptions, test_set=True),
    "iglue": Format(iglue.read, iglue.recognises, iglue.IGLUEOptions, test_set=True),
    "parallel-lines": Format(parallel_lines.read, parallel_lines.recognises, parallel_lines.ParallelLinesOptions, test_set=True),
    "vatex": Format(vatex.read, vatex.recognises, vatex.VATEXOptions, test_set=True),
    "cifar10": Format(cifar10.read, cifar10.recognises, cifar10.Cifar10Options, test_set=True),
    "stl10": Format(stl10.read, stl10.recognises, stl10.Stl10Options, test_set=True),
    "hugging-face": Format(hugging_face.read, hugging_face.recognises, hugging_face.HuggingFaceOptions),
    "webdataset": Format(webdataset.read, webdataset.recognises, webdataset.WebdatasetOptions),
    "class-folder": Format(class_folder.read, class_folder.recognises, class_folder.ClassFolderOptions, test_set=True),
    "folder": Format(folder.read, folder.recognises, folder.FolderOptions),
    "table": Format(table.read, table.recognises, table.TableOptions),
}


def detect(source: Path) -> str:
    """The name of the format of a file, a folder or a data set on the hub.

    Raises:
        DataError: it does not exist, or looks like none of the known formats.
    """
    require_source(source)
    for name, known in READERS.items():
        if known.recognises(source):
            return name
    raise DataError(
        f"{source} is in no known format ({', '.join(READERS)}): no table ({', '.join(SUFFIXES)}), no picture files and "
        "no metadata of clip-retrieval were found there. Name the format if it is one of these."
    )


def require_source(source: Path) -> None:
    """Refuse what is neither on the disk nor a name for `datasets.load_dataset` (`hf:OWNER/NAME`).

    Raises:
        DataError: there is no such file or folder.
    """
    if not hugging_face.is_remote(source) and not source.exists():
        raise DataError(f"there is no file or folder {source}.")


def find_format(name: str) -> Format:
    """A format by name.

    Raises:
        ConfigError: there is no such format; the nearest name is suggested.
    """
    if name not in READERS:
        raise ConfigError(f"there is no format {name!r}.{suggest(name, READERS)} Known: auto, {', '.join(READERS)}.")
    return READERS[name]
