"""What `mella benchmark` needs and was not given: the test set's records, vectors of its pictures and of its texts."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mella_retrieval.cli.output import progress_bar, say

if TYPE_CHECKING:
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.benchmarks.obtain import Provenance
    from mella_retrieval.benchmarks.tasks import Task
    from mella_retrieval.data.records import Records
    from mella_retrieval.embeddings.sets import EmbeddingSet, Selection
    from mella_retrieval.encoders.towers import TextTower


@dataclass(frozen=True)
class TestSet:
    """A task with its records, and what is known of where they came from."""

    task: Task
    records: Records
    provenance: Provenance


@dataclass(frozen=True)
class Request:
    """What is measured on what."""

    test_set: TestSet
    adapter: Adapter | None
    model: str | None
    work: Path
    device: str
    allow_module: bool
    languages: tuple[str, ...] = ()
    image_tower: str | None = None
    text_tower: str | None = None
    images: Path | None = None
    texts: Path | None = None
    descriptions: Path | None = None

    @property
    def codes(self) -> list[str] | None:
        """The languages that were asked for, in their canonical form."""
        from mella_retrieval import languages

        return [languages.normalise(code) for code in self.languages] or None

    @property
    def model_name(self) -> str:
        """What the model is called in a table: its spec, or of a long path the end."""
        spec = str(self.model)
        return spec if len(spec) <= 48 else f"{spec.partition(':')[0]}:…/{Path(spec).name}"

    @property
    def image_spec(self) -> str:
        """Spec of the image tower."""
        return self.image_tower or self.model or (self.adapter.config.image_tower.spec if self.adapter else "")

    @property
    def text_spec(self) -> str:
        """Spec of the text tower."""
        return self.text_tower or self.model or (self.adapter.config.text_tower.spec if self.adapter else "")

    def allowed(self, given: str | None) -> bool:
        """Whether a `module:` class may be imported: only one that this command line names."""
        return self.allow_module and bool(given or self.model)


def open_test_set(task: str, records: Path | None, data: Path | None, work: Path, *, download: bool) -> TestSet:
    """The test set of a task's name or recipe, or of a folder in any known format.

    Args:
        task: name, path of a recipe, or path of a folder (`./xm3600` where a task has the folder's name).
        records: the test set as a records folder, if it was imported before.
        data: its original files; by default the cache, filled by download.
        work: where records are imported to.
        download: whether files may be downloaded.
    """
    from mella_retrieval.benchmarks.obtain import Provenance, obtain, provenance, still_by_hand
    from mella_retrieval.benchmarks.own_task import own_task
    from mella_retrieval.benchmarks.tasks import load_task
    from mella_retrieval.data.records import Records
    from mella_retrieval.errors import ConfigError, DataError
    from mella_retrieval.recipes import list_recipes

    if task not in {path.stem for path in list_recipes()["benchmarks"]} and Path(task).is_dir():
        if data is not None or records is not None:
            raise ConfigError(f"{task} is a folder: it is the test set itself, without --data and --records.")
        opened = _open_folder(Path(task), work)
        return TestSet(own_task(opened, Path(task).resolve().name), opened, Provenance())
    if task.endswith("/"):
        raise DataError(f"there is no folder {task}.")
    chosen = load_task(task)
    if records is not None:
        return TestSet(chosen, Records.load(records), Provenance())
    if data is None:
        with progress_bar(f"downloading {chosen.name}", "bytes") as progress:
            folder = obtain(chosen, download=download, progress=progress)
    else:
        folder = obtain(chosen, data)
    for sentence in still_by_hand(chosen, folder):
        say(f"to be got by hand: {sentence}")
    return TestSet(chosen, _import(folder, work, chosen.format, dict(chosen.options)), provenance(chosen, folder))


def _open_folder(folder: Path, work: Path) -> Records:
    from mella_retrieval.artifacts import MANIFEST
    from mella_retrieval.data.records import Records

    return Records.load(folder) if (folder / MANIFEST).is_file() else _import(folder, work, "auto", {})


def _import(folder: Path, work: Path, format: str, options: dict[str, object]) -> Records:
    from mella_retrieval.data.importing import import_records
    from mella_retrieval.data.records import Records

    with progress_bar("importing", "rows") as progress:
        report = import_records(folder, work / "records", format, overwrite=True, progress=progress, **options)
    if report.rejected:
        say(f"{sum(report.rejected.values()):,} rows were not usable, see {work / 'records' / 'skipped.csv'}")
    return Records.load(work / "records")


def image_vectors(request: Request) -> EmbeddingSet:
    """The set that was given, or the pictures of the test set through an image tower; made once, kept in `work`.

    For an adapter with slots they are enriched with the descriptions that were given.
    """
    from mella_retrieval.embeddings.sets import EmbeddingSet

    if request.images is not None:
        return EmbeddingSet.load(request.images, deep=True)
    if request.adapter is not None and request.adapter.slots is not None:
        return _enriched(request, request.adapter)
    return _embed_pictures(request, request.image_spec, "images")


def _embed_pictures(request: Request, spec: str, name: str, *, tokens: bool = False) -> EmbeddingSet:
    from mella_retrieval.embeddings.embed import embed_images
    from mella_retrieval.embeddings.settings import EmbedSettings
    from mella_retrieval.encoders.loading import load_image_tower

    test_set = request.test_set
    _require_pictures(test_set)
    tower = load_image_tower(spec, device=request.device, allow_module=request.allowed(request.image_tower))
    settings = EmbedSettings(tokens=True, dtype="float16") if tokens else EmbedSettings()
    with progress_bar("embedding pictures", "pictures") as progress:
        out = request.work / name
        return embed_images(test_set.records, tower, out, settings, where=test_set.task.where, progress=progress)


def _enriched(request: Request, adapter: Adapter) -> EmbeddingSet:
    """The pictures of the test set, enriched with those descriptions that are not asked."""
    from mella_retrieval.adapters.leccr.enrich import enrich
    from mella_retrieval.embeddings.sets import EmbeddingSet
    from mella_retrieval.errors import ConfigError

    if adapter.slots is None or request.descriptions is None:
        raise ConfigError(
            "this adapter reads pictures together with their descriptions: give the descriptions' vectors with --descriptions "
            "(`mella embed texts --tokens`), or enriched image vectors with --images (`mella embed enrich`)."
        )
    described = EmbeddingSet.load(request.descriptions, deep=True)
    spec = request.image_tower or adapter.slots.info.image_tower.spec
    pictures = _embed_pictures(request, spec, "images", tokens=True)
    queries = _asked(request, text_vectors(request))
    with progress_bar("enriching pictures", "pictures") as progress:
        return enrich(adapter, pictures, described, request.work / "enriched", asked=queries, progress=progress)


def _asked(request: Request, texts: EmbeddingSet) -> Selection:
    """Those texts that are measured: a set that was given may hold those of other splits and languages, too."""
    import numpy as np

    from mella_retrieval.benchmarks.material import load_evaluation
    from mella_retrieval.embeddings.sets import Selection

    captions = load_evaluation(request.test_set.task, request.test_set.records, request.codes).captions
    measured = {text_id for of_language in captions.values() for text_id in of_language.text_id}
    ids = texts.column("text_id") if "text_id" in texts.table.column_names else texts.ids
    return Selection(texts, np.flatnonzero([text_id in measured for text_id in ids]))


def _require_pictures(test_set: TestSet) -> None:
    """Say before hours of work which pictures are not there."""
    from mella_retrieval.data.records import is_url
    from mella_retrieval.errors import DataError

    records = test_set.records
    names = records.images(test_set.task.where)["image"].to_pylist()
    paths = [records.image_path(name) for name in names if not is_url(name)]
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        first = (
            f"{len(missing)} of {len(paths)} pictures are not there, the first is {missing[0]}"
            if missing
            else "it names no picture"
        )
        raise DataError(f"{test_set.task.name} cannot be embedded: {first}. Put them there, or give image vectors with --images.")


def load_texts_tower(request: Request) -> TextTower:
    """The text tower of what is measured."""
    from mella_retrieval.encoders.loading import load_text_tower

    return load_text_tower(request.text_spec, device=request.device, allow_module=request.allowed(request.text_tower))


def text_vectors(request: Request) -> EmbeddingSet:
    """The set that was given, or the captions of the test set through a text tower; made once, kept in `work`."""
    from mella_retrieval.embeddings.sets import EmbeddingSet

    if request.texts is not None:
        return EmbeddingSet.load(request.texts, deep=True)
    return embed_captions(request.test_set, load_texts_tower(request), request.work / "texts")


def embed_captions(test_set: TestSet, tower: TextTower, out: Path, **where: str) -> EmbeddingSet:
    """The captions of the test set, or those with some value in a column, through a loaded tower."""
    from mella_retrieval.embeddings.embed import embed_texts

    with progress_bar("embedding captions", "texts") as progress:
        return embed_texts(test_set.records, tower, out, where={**test_set.task.where, **where}, progress=progress)


def cuda_or_cpu(device: str) -> str:
    """Where to rank: a CUDA device if that was asked for, or found by `auto`; the ranks are the same everywhere."""
    from mella_retrieval.encoders.torch_towers import find_device

    found = str(find_device(device))
    return found if found.startswith("cuda") else "cpu"


def command_line() -> str:
    """The command as it can be typed again."""
    return shlex.join(["mella", *sys.argv[1:]])
