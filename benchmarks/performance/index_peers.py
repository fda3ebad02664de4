"""The part `peers` of `indexes.py`: autofaiss on its own way, and ours within the bytes of its index."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from index_bench import Bench, per_query, seconds
from index_vectors import REPOSITORY, K, recall

from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import MellaError
from mella_retrieval.indexes.auto.build import auto_build, tune_index
from mella_retrieval.indexes.auto.needs import AutoConfig
from mella_retrieval.indexes.auto.truth import Truth, exact_neighbours
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.writing import Resources

PEER = REPOSITORY / ".venv-autofaiss" / "bin" / "python"
SCRIPT = Path(__file__).with_name("autofaiss_peer.py")
MARGIN, NEARLY_ALL = 0.002, 0.9999
"""Recall that is asked for beyond autofaiss's, since a thousand queries leave so much uncertain, and at most: for a recall of one
`auto` would compare all vectors."""


@dataclass
class Row:
    """One line of the table; seconds, bytes, milliseconds a query by batch."""

    name: str
    build: float
    choosing: float
    bytes: int
    mapped: int
    peak: int
    parameters: str
    recall: float
    ms: dict[str, float]

    def __str__(self) -> str:
        times = "".join(f"{self.ms[batch]:9.2f}" for batch in ("1", "64"))
        return (
            f"{self.name:44}{self.build:9.1f}{self.choosing:11.1f}{self.bytes / 1e6:10.0f}{self.mapped / 1e6:10.0f}"
            f"{self.peak / 1e6:9.0f}{self.recall:11.4f}{times}  {self.parameters}"
        )


def peers(bench: Bench) -> None:
    """Print a table for each budget."""
    if not PEER.exists():
        raise SystemExit("there is no .venv-autofaiss: run bash benchmarks/performance/autofaiss_environment.sh first.")
    for each in bench.arguments.budgets:
        print(f"\nbudget {each * bench.data.rows / 1e6:,.0f} MB ({each} bytes a vector)")
        print(f"{'':44}{'build, s':>9}{'choosing,s':>11}{'bytes, MB':>10}{'mapped,MB':>10}{'peak, MB':>9}{'recall@10':>11}"
              f"{'ms at 1':>9}{'ms at 64':>9}  parameters", flush=True)  # fmt: skip
        theirs, wanted = autofaiss(bench, each)
        print(theirs, flush=True)
        for recipe in bench.arguments.ours:
            try:
                row = ours_at(bench, recipe, theirs.bytes, min(wanted + MARGIN, NEARLY_ALL))
            except MellaError as error:
                print(f"ours, {recipe}: {error}")
                continue
            print(row)
            print(
                f"    built {theirs.build / row.build:.2f} times as fast in {row.bytes / theirs.bytes:.2f} of the bytes, recall "
                f"{row.recall - theirs.recall:+.4f}, a query alone in {row.ms['1'] / theirs.ms['1']:.2f} of the time",
                flush=True,
            )


def autofaiss(bench: Bench, each: int) -> tuple[Row, float]:
    """Its index, and its recall on the queries that tune ours."""
    folder, threads = bench.data.folder / f"autofaiss-{each}", ["--threads", str(bench.arguments.threads)]
    note = folder / "made.json"
    if not bench.arguments.kept:
        shutil.rmtree(folder, ignore_errors=True)
    budget = [
        f"--memory={each * bench.data.rows}",
        f"--available={free_bytes()}",
        f"--milliseconds={bench.arguments.milliseconds}",
    ]
    if not note.exists():
        note.write_text(json.dumps(peer("build", f"--vectors={bench.data.images}", f"--out={folder}", *budget, *threads)))
    made = json.loads(note.read_text())
    asked = {
        name: peer("search", f"--index={folder / 'knn.index'}", f"--queries={bench.data.folder / f'{name}.npy'}", *threads,
                   f"--parameters={made['parameters']}", f"--found={folder / f'{name}.npy'}")
        for name in ("tuning", "queries")
    }  # fmt: skip
    recalls = {name: recall(np.load(folder / f"{name}.npy"), bench.data.load(f"{name}-truth")) for name in asked}
    name = f"autofaiss, {made['key']}, FAISS {made['faiss']}"
    build = made["seconds"] - made["tuning"] - made["measuring"]
    cost = (build, made["tuning"], made["bytes"], 0, made["peak"])
    row = Row(name, *cost, made["parameters"], recalls["queries"], asked["queries"]["ms"])
    return row, recalls["tuning"]


def free_bytes() -> int:
    """Memory that autofaiss is told of."""
    return int(0.8 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def peer(step: str, *options: str) -> dict[str, Any]:
    """One step of autofaiss_peer.py."""
    done = subprocess.run([PEER, SCRIPT, step, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"autofaiss_peer.py {step} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def ours_at(bench: Bench, factory: str, memory: int, wanted: float) -> Row:
    """An index within `memory` bytes, tuned to the wanted recall."""
    folder, dim = bench.data.folder / "ours-peers", bench.vectors.dim
    tuning, config = bench.data.load("tuning"), AutoConfig(memory=memory, recall=wanted, deletes=False)
    built: list[tuple[float, int]] = []

    def build(recipe: IndexRecipe) -> Index:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            values = (str(bench.vectors.folder), str(folder), recipe.model_dump_json(), bench.arguments.threads)
            built.append(fresh.submit(build_apart, *values).result())
        return Index.load(folder)

    start = time.perf_counter()
    if factory == "auto":
        tuned = auto_build(len(bench.vectors), dim, config, tuning, blocks=bench.blocks, build=build, say=say)
        recipe, chosen = tuned.recipe, dict(tuned.curve.chosen)
    else:
        recipe = IndexRecipe(factory=factory)
        truth: Truth = exact_neighbours(bench.blocks(), tuning, K)
        chosen = dict(tune_index(build(recipe), recipe, dim, tuning, truth, config).chosen)
    whole = time.perf_counter() - start
    spent, peaks = (list(values) for values in zip(*built, strict=True))
    kept, mapped = file_bytes(folder)
    index = Index.load(folder)
    found = index.search(bench.data.load("queries"), K, parameters=chosen).rows
    return Row(
        f"ours, {factory if factory != 'auto' else f'auto: {recipe.factory}'}",
        sum(spent),
        whole - sum(spent),
        kept,
        mapped,
        max(peaks),
        ",".join(f"{name}={value}" for name, value in chosen.items()),
        recall(found, bench.data.load("queries-truth")),
        {str(batch): per_query(index, bench.data.load("queries"), chosen, batch) for batch in (1, 64)},
    )


def say(sentence: str) -> None:
    """Print what `auto` says."""
    print(f"    {sentence}", flush=True)


def build_apart(vectors: str, out: str, recipe: str, threads: int) -> tuple[float, int]:
    """Build in a process of its own: seconds, and the most memory it held, mapped pages of its inputs included."""
    faiss().omp_set_num_threads(threads)
    stored, chosen = EmbeddingSet.load(Path(vectors)), IndexRecipe.model_validate_json(recipe)
    taken = seconds(lambda: build_index(stored, out, chosen, resources=Resources(memory=1 << 40), overwrite=True))
    status = Path("/proc/self/status").read_text()  # `ru_maxrss` would begin with what the parent held
    return taken, 1024 * int(status.split("VmHWM:")[1].split()[0])


def file_bytes(folder: Path) -> tuple[int, int]:
    """Bytes that a search keeps in memory, and those of the stored vectors."""
    sizes = [(path.name, path.stat().st_size) for path in folder.glob("segment-*/*")]
    kept, mapped = ("vectors.faiss", "lookup.npy"), ("vectors.npy",)
    return sum(size for name, size in sizes if name in kept), sum(size for name, size in sizes if name in mapped)
