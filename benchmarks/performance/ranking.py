"""Time and memory of ranking beside one bare matrix product of the same size, in the same run.

    python benchmarks/performance/ranking.py --images 3600 --captions 7200 --dim 512

Bare product, ranking, bare product ... alternate, so that other work on the machine meets both. The bare product is
timed four ways (numpy and torch, each with and without memory set aside for its result); the fastest counts. Two
scorers: one that is right about as often as a good system, and a random one, in which nearly every query has near ties
to be scored again.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import torch

from mella_retrieval.benchmarks.ranking import rank
from mella_retrieval.benchmarks.threads import processors


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3600)
    parser.add_argument("--captions", type=int, default=7200)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    print(f"{arguments.captions} captions x {arguments.images} images x {arguments.dim}, {processors()} processors, "
          f"{arguments.repeats} alternating repeats")  # fmt: skip
    print(f"{'scorer':8} {'bare (fastest)':>15} {'ranking':>9} {'ratio':>6} {'ratio of best':>14} {'extra memory':>13}")
    for scorer, noise in (("good", 4.0), ("random", np.inf)):
        images, texts, owner = _vectors(arguments.images, arguments.captions, arguments.dim, noise)
        _measure(scorer, images, texts, owner, arguments.repeats)


def _vectors(images: int, captions: int, dim: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image_vectors = rng.standard_normal((images, dim), dtype=np.float32)
    owner = np.arange(captions) % images
    signal = image_vectors[owner] / noise
    return image_vectors, (signal + rng.standard_normal((captions, dim), dtype=np.float32)).astype(np.float32), owner


def _measure(scorer: str, images: np.ndarray, texts: np.ndarray, owner: np.ndarray, repeats: int) -> None:
    result = np.empty((len(texts), len(images)), np.float32)
    torch_images, torch_texts, torch_result = torch.from_numpy(images), torch.from_numpy(texts), torch.from_numpy(result)
    bare: dict[str, Callable[[], object]] = {
        "numpy": lambda: texts @ images.T,
        "numpy, memory set aside": lambda: np.matmul(texts, images.T, out=result),
        "torch": lambda: torch_texts @ torch_images.T,
        "torch, memory set aside": lambda: torch.mm(torch_texts, torch_images.T, out=torch_result),
    }
    rows = np.arange(len(texts))

    def ours() -> object:
        return rank(texts, images, rows, owner)

    times: dict[str, list[float]] = {name: [] for name in [*bare, "ranking"]}
    for _ in range(repeats):
        for name, work in [*bare.items(), ("ranking", ours)]:
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    fastest = min(bare, key=lambda name: statistics.median(times[name]))
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min(times["ranking"]) / min(min(times[name]) for name in bare)
    ratio = medians["ranking"] / medians[fastest]
    print(
        f"{scorer:8} {medians[fastest] * 1e3:12.0f} ms {medians['ranking'] * 1e3:6.0f} ms {ratio:6.2f} {best:14.2f} "
        f"{_extra_memory(ours):10.0f} MB   ({fastest})"
    )


def _extra_memory(work: Callable[[], object]) -> float:
    """Megabytes of arrays that are alive at most while `work` runs, beyond those that were there before."""
    tracemalloc.start()
    work()
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return highest / 1e6


if __name__ == "__main__":
    main()
