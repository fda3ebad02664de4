"""Indexes on GPUs: building and searching beside FAISS's own calls, recall, share of the memory bandwidth.

    python benchmarks/performance/gpu.py                                     # 1 M and 10 M x 512 on all GPUs there are
    python benchmarks/performance/gpu.py --device cpu --rows 20000           # to try the script itself
    python benchmarks/performance/gpu.py --rows 1000000 --folder             # through an index folder too

- Building: ours (`train_on`, `adder`: the index stays on the processor, GPUs help) beside FAISS's `train` and `add` of the index
  on the first GPU. `FAISS / ours`: above 1 ours is quicker. `onto the GPU`: the copy that is searched.
- Searching: ours (`on_devices(...).search`) and `search` of the same FAISS index on the GPUs, in turns; medians. Recall@10 is
  against exact search. `reranked`: ten candidates per hit scored again from the vectors of `gpu-flat`, if it is measured too.
- `of bandwidth`, of flat indexes: the bytes of all vectors, read once a batch, over our time and the measured copy bandwidth. A
  batch of 1 is bound by reading, one of 1,024 by multiplying. Caches of a processor hold a small index: more than 100 % there.
- `--folder`: an index folder of `gpu-flat`, built from an embedding set on disk; ids are taken out.

The vectors are drawn in blocks, each with its own seed: x = (0.6 c + 0.8 n) / |0.6 c + 0.8 n| with c one of 4,096 random unit
vectors and n a unit vector of normal numbers with variance 1 / j in dimension j. Queries are 0.75 x + 0.25 a, divided by their
length, with a one random unit vector for all: they lie aside, as texts do. Recall tells how ours compares with FAISS, not what an
index reaches on pictures.

A machine without a package index gets the wheels as files. Here, in an empty folder that git ignores:

    pip download faiss-gpu nvidia-cublas-cu12 nvidia-cuda-runtime-cu12 nvidia-curand-cu12 --no-deps -d wheels
    cd wheels && for wheel in *.whl; do split -b 60M "$wheel" "$wheel.part-"; done

Where each copy takes a limited size, as many parts as fit go with each, and are moved out of the way of the next. There:

    for first in *.part-aa; do cat "${first%aa}"* > "${first%.part-aa}"; done
    pip uninstall --yes faiss-cpu && pip install --no-index --no-deps *.whl
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.devices import Devices
from mella_retrieval.indexes.gpu import Placed, on_devices
from mella_retrieval.indexes.gpu_building import adder, train_on
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.kinds import new_index
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.scan import rescored
from mella_retrieval.indexes.writing import Resources
from mella_retrieval.recipes import load_recipe

Floats = np.ndarray

KINDS = ("gpu-flat", "gpu-ivf-flat", "gpu-ivf-pq")
BATCHES = (1, 64, 1024)
K, QUERIES, BLOCK, CENTRES = 10, 1024, 65_536, 4096


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0, cuda:0,1")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--folder", action="store_true", help="also through an index folder (on disk: four bytes a number, twice)"
    )
    parser.add_argument("--markdown", type=Path, help="write the tables there too")
    arguments = parser.parse_args()
    devices = Devices.parse(arguments.device)
    lines = [header(devices)]
    bandwidth = copied_in_a_second(devices)
    lines.append(f"copies {bandwidth / 1e9:.0f} GB/s (read and written bytes together)")
    print("\n".join(lines), flush=True)
    for rows in arguments.rows:
        measured = measure(Data(rows, arguments.dim), arguments.kinds, devices, bandwidth, arguments.rounds, arguments.folder)
        for title, head, table in measured:
            text = f"\n{title}\n{aligned(head, table)}"
            lines.append(f"\n{title}\n\n{markdown(head, table)}")
            print(text, flush=True)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Data:
    """Vectors of a generator; see the module."""

    rows: int
    dim: int
    basis: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        self.basis["centres"] = unit(rng.standard_normal((CENTRES, self.dim), dtype=np.float32))
        self.basis["aside"] = unit(rng.standard_normal((1, self.dim), dtype=np.float32))

    def block(self, count: int, *seed: int) -> Floats:
        """(count, dim) unit vectors."""
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((count, self.dim), dtype=np.float32) / np.sqrt(np.arange(1, self.dim + 1, dtype=np.float32))
        centre = self.basis["centres"][rng.integers(0, CENTRES, count)]
        return unit(0.6 * centre + 0.8 * unit(noise))

    def blocks(self) -> Iterator[Floats]:
        """All vectors."""
        for number, start in enumerate(range(0, self.rows, BLOCK)):
            yield self.block(min(BLOCK, self.rows - start), 1, number)

    def sample(self, count: int) -> Floats:
        """At most `count` vectors to train on: like all others, and none of them."""
        return self.block(min(count, self.rows), 2)

    def queries(self) -> Floats:
        """(QUERIES, dim)."""
        return unit(0.75 * self.block(QUERIES, 3) + 0.25 * self.basis["aside"])


def unit(vectors: Floats) -> Floats:
    """Rows of length one, float32."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


Table = tuple[str, list[str], list[list[str]]]


def measure(data: Data, kinds: list[str], devices: Devices, bandwidth: float, rounds: int, folder: bool) -> list[Table]:
    """Tables of building and of searching."""
    queries, truth = data.queries(), Truth()
    ours = [Ours(name, recipe_for(name, data.rows), data, devices) for name in kinds]
    raws = [Raw(kind.recipe, data, devices) for kind in ours]
    for block in data.blocks():
        truth.add(queries, block)
        for kind in (*ours, *raws):
            kind.add(block)
    for kind in (*ours, *raws):
        kind.finish()
    building, searching = [], []
    for kind, raw in zip(ours, raws, strict=True):
        start = time.perf_counter()
        placed = on_devices(kind.index, devices, kind.recipe.gpu)
        building.append([kind.name, kind.recipe.factory, seconds(kind.train), seconds(kind.adding), seconds(raw.train),
                         seconds(raw.adding), f"{(raw.train + raw.adding) / (kind.train + kind.adding):.2f}",
                         seconds(time.perf_counter() - start)])  # fmt: skip
        exact = next((other.index for other in ours if other.recipe.factory == "Flat"), None)
        again = reranked(exact, placed, queries, truth)
        for row in search_rows(kind, placed, queries, truth, bandwidth, rounds):
            searching.append([kind.name, kind.setting, *row[:5], again, row[5]])
        del placed
    title = f"{data.rows:,} x {data.dim}"
    tables = [
        (f"{title}: building", ["kind", "factory", "train, s", "add, s", "FAISS train, s", "FAISS add, s", "FAISS / ours",
                                "onto the GPU, s"], building),
        (f"{title}: searching for {K}", ["kind", "parameters", "batch", "queries/s", "FAISS queries/s", "ours / FAISS, time",
                                         f"recall@{K}", "reranked", "of bandwidth"], searching),
    ]  # fmt: skip
    return [*tables, through_folder(data, queries, truth, devices, rounds)] if folder else tables


def recipe_for(name: str, rows: int) -> IndexRecipe:
    """The recipe that comes with the package; with fewer lists where there are few vectors."""
    recipe = load_recipe(IndexRecipe, "indexes", name)
    lists, *rest = recipe.factory.split(",")
    if lists.startswith("IVF"):
        fewer = max(1, min(int(lists.removeprefix("IVF")), rows // 100))
        recipe = recipe.model_copy(update={"factory": ",".join([f"IVF{fewer}", *rest])})
    return recipe


class Ours:
    """An index that our functions train and fill, timed."""

    def __init__(self, name: str, recipe: IndexRecipe, data: Data, devices: Devices) -> None:
        self.name, self.recipe = name, recipe
        self.setting = ", ".join(f"{key}={value}" for key, value in recipe.search.items()) or "-"
        self.train = self.adding = 0.0
        self.index = new_index(recipe, data.dim, lambda: data.sample(recipe.train_rows), self._trained(devices))
        self._add = adder(self.index, devices, recipe.gpu)

    def _trained(self, devices: Devices) -> Callable[[Any, Floats], None]:
        def train(index: Any, sample: Floats) -> None:
            start = time.perf_counter()
            train_on(index, sample, devices, self.recipe.gpu)
            self.train = time.perf_counter() - start

        return train

    def add(self, block: Floats) -> None:
        """Add vectors."""
        start = time.perf_counter()
        self._add(block)
        self.adding += time.perf_counter() - start

    def finish(self) -> None:
        """After the last block."""
        self._add.finish()


class Raw:
    """The same with FAISS's own calls: on the first GPU where there is one. It is thrown away when it is full."""

    def __init__(self, recipe: IndexRecipe, data: Data, devices: Devices) -> None:
        index = faiss().index_factory(data.dim, recipe.factory, faiss().METRIC_INNER_PRODUCT)
        if devices.gpus:
            self.resources, options = faiss().StandardGpuResources(), faiss().GpuClonerOptions()
            options.useFloat16 = recipe.gpu.float16
            index = faiss().index_cpu_to_gpu(self.resources, devices.gpus[0], index, options)
        sample = np.empty((0, data.dim), np.float32) if index.is_trained else data.sample(recipe.train_rows)
        start = time.perf_counter()
        if len(sample):
            index.train(sample)
        self.train, self.adding, self.index = time.perf_counter() - start, 0.0, index

    def add(self, block: Floats) -> None:
        """Add vectors."""
        start = time.perf_counter()
        self.index.add(block)
        self.adding += time.perf_counter() - start

    def finish(self) -> None:
        """Give its memory back."""
        self.index = None


class Truth:
    """The nearest of all vectors that were seen so far."""

    def __init__(self) -> None:
        self.scores, self.rows, self.seen = np.empty((QUERIES, 0), np.float32), np.empty((QUERIES, 0), np.int64), 0

    def add(self, queries: Floats, block: Floats) -> None:
        """Compare with more vectors."""
        best, rows = faiss().knn(queries, block, min(K, len(block)), faiss().METRIC_INNER_PRODUCT)
        self.scores, self.rows = np.hstack([self.scores, best]), np.hstack([self.rows, rows + self.seen])
        order = np.argsort(-self.scores, axis=1, kind="stable")[:, :K]
        self.scores, self.rows = np.take_along_axis(self.scores, order, 1), np.take_along_axis(self.rows, order, 1)
        self.seen += len(block)

    def recall(self, rows: np.ndarray) -> float:
        """Share of the nearest that are among `rows`."""
        return float((self.rows[:, :, None] == rows[:, None, :K]).any(axis=2).mean())


def search_rows(kind: Ours, there: Any, queries: Floats, truth: Truth, bandwidth: float, rounds: int) -> Iterator[list[str]]:
    """One line for each batch size. Our call and the raw one on the same index alternate."""
    raw = there.there if isinstance(there, Placed) else there
    flat = kind.recipe.factory == "Flat"
    number = 2 if isinstance(there, Placed) and kind.recipe.gpu.float16 else 4  # bytes
    recall = f"{truth.recall(there.search(queries, K)[1]):.3f}"
    for batch in BATCHES:
        own, bare = alternating(
            [lambda asked: there.search(asked, K), lambda asked: raw.search(asked, K)], queries, batch, rounds
        )
        share = f"{there.ntotal * there.d * number / own / bandwidth:.0%}" if flat else "-"
        yield [str(batch), f"{batch / own:,.0f}", f"{batch / bare:,.0f}", f"{own / bare:.2f}", recall, share]


def reranked(exact: Any, there: Any, queries: Floats, truth: Truth) -> str:
    """Recall when ten candidates per hit are scored again from the vectors of a flat index."""
    if exact is None:
        return "-"
    candidates = there.search(queries, 10 * K)[1]
    return f"{truth.recall(rescored(queries, candidates, K, exact.reconstruct_batch)[1]):.3f}"


def alternating(calls: list[Callable[[Floats], Any]], queries: Floats, batch: int, rounds: int) -> list[float]:
    """Median seconds of each call for a batch; all take turns, after one call that does not count."""
    starts = range(0, QUERIES, batch)[: max(1, 64 // batch)]
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call(queries[:batch])
    for _ in range(rounds):
        for start in starts:
            for place, call in enumerate(calls):
                begun = time.perf_counter()
                call(queries[start : start + batch])
                times[place].append(time.perf_counter() - begun)
    return [statistics.median(some) for some in times]


def through_folder(data: Data, queries: Floats, truth: Truth, devices: Devices, rounds: int) -> Table:
    """Exact search as an app has it: a folder, ids, ties by id; and the raw call on the same FAISS index."""
    recipe = load_recipe(IndexRecipe, "indexes", "gpu-flat")
    tower = TowerInfo(spec="open_clip:ViT-B-32/openai", modality="image", dim=data.dim, weights=None, precision="drawn")
    with tempfile.TemporaryDirectory() as work:
        vectors = import_vectors(Path(work) / "vectors", tower, with_ids(data), f"drawn {data.rows}")
        start = time.perf_counter()
        build_index(vectors, Path(work) / "index", recipe, resources=Resources(device=str(devices)))
        built = time.perf_counter()
        index = Index.load(Path(work) / "index", device=str(devices))
        opened = time.perf_counter()
        raw = on_devices(index.segments[0].index, devices, recipe.gpu)
        raw = raw.there if isinstance(raw, Placed) else raw
        recall = truth.recall(np.array([[int(key) for key in ids] for ids in index.search(queries, K).ids]))
        table = []
        for batch in BATCHES:
            own, bare = alternating(
                [lambda asked: index.search(asked, K).ids, lambda asked: raw.search(asked, K)], queries, batch, rounds
            )
            table.append([str(batch), f"{batch / own:,.0f}", f"{batch / bare:,.0f}", f"{own / bare:.2f}", f"{recall:.3f}"])
        parts = len(index.segments)
    title = (
        f"{data.rows:,} x {data.dim}: index folder, gpu-flat re-ranked, segments: {parts}; built in {seconds(built - start)} s, "
    )
    return (
        f"{title}opened in {seconds(opened - built)} s" + (" (FAISS's call asks the first segment only)" if parts > 1 else ""),
        ["batch", "queries/s", "FAISS queries/s", "ours / FAISS, time", f"recall@{K}"],
        table,
    )


def with_ids(data: Data) -> Iterator[tuple[Floats, pa.Table]]:
    """The vectors with their numbers as ids."""
    for number, block in enumerate(data.blocks()):
        yield block, pa.table({"id": [str(number * BLOCK + row) for row in range(len(block))]})


def copied_in_a_second(devices: Devices) -> float:
    """Bytes read and written when a large array is copied within the memory of the (first) device."""
    if devices.gpus:
        import torch

        device = f"cuda:{devices.gpus[0]}"
        source = torch.ones(1 << 28, device=device)
        target = torch.empty_like(source)

        def copy() -> None:
            target.copy_(source)
            torch.cuda.synchronize(device)

        count = source.nbytes
    else:
        array = np.ones(1 << 26, np.float32)
        into = np.empty_like(array)

        def copy() -> None:
            np.copyto(into, array)

        count = array.nbytes
    copy()
    times = []
    for _ in range(10):
        start = time.perf_counter()
        copy()
        times.append(time.perf_counter() - start)
    return 2 * count / statistics.median(times)


def header(devices: Devices) -> str:
    """Machine and versions."""
    names = f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} processors"
    if devices.gpus:
        import torch

        cards = [f"cuda:{gpu} {torch.cuda.get_device_name(gpu)}" for gpu in devices.gpus]
        names = f"{', '.join(cards)}; {names}; torch {torch.__version__}"
    return f"{devices}: {names}; FAISS {faiss().__version__} ({faiss().get_compile_options().strip()}), numpy {np.__version__}"


def seconds(value: float) -> str:
    """With two digits after the point."""
    return f"{value:.2f}"


def aligned(head: list[str], rows: list[list[str]]) -> str:
    """A table as text."""
    widths = [max(len(line[place]) for line in [head, *rows]) for place in range(len(head))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in [head, *rows])


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table as Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


if __name__ == "__main__":
    main()
