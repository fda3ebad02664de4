"""XM3600's size: both directions in 36 languages beside one bare matrix product per language, and beside clip-benchmark.

    python benchmarks/performance/ranking.py                            # ours and the bare product
    .venv-peers/bin/python benchmarks/performance/ranking.py --peer     # and clip-benchmark's metric on the same vectors

3,600 images and as many captions in each language as the release has, 512 dimensions, vectors in memory. Bare product and
ranking alternate language by language, so that other work on the machine meets both. The bare product is numpy's or
torch's into memory set aside, whichever is faster here. Two scorers: one that is right about as often as a good system, and
a random one, in which nearly every query has near ties to be scored again in float64.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from mella_retrieval.benchmarks.ranking import rank
from mella_retrieval.benchmarks.similarity import UnitVectors
from mella_retrieval.benchmarks.threads import processors
from mella_retrieval.data.formats.xm3600 import CAPTIONS_OF, IMAGES

Floats = np.ndarray

PAUSE = 0.3
"""Seconds before each measurement: the threads of a parallel product spin for up to 200 ms, on the processors that come next."""


@dataclass
class Language:
    """Caption vectors (M, d) and the image of each."""

    texts: Floats
    owner: np.ndarray


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--languages", type=int, default=len(CAPTIONS_OF), help="measure only the first ones")
    parser.add_argument("--device", default="cpu", help="cpu, or a device of torch")
    parser.add_argument("--peer", action="store_true", help="also clip-benchmark's metric, on the first caption of each image")
    arguments = parser.parse_args()
    counts = list(CAPTIONS_OF.values())[: arguments.languages]
    print(f"{len(counts)} languages x {IMAGES} images x {sum(counts) / len(counts):.0f} captions on average x {arguments.dim}, "
          f"{processors()} processors, {arguments.rounds} rounds, device {arguments.device}")  # fmt: skip
    print(f"{'scorer':8} {'bare, s':>8} {'ranking, s':>11} {'ratio':>6} {'of rounds':>14} {'extra memory':>13}")
    for scorer, noise in (("good", 4.0), ("random", np.inf)):
        images, languages = vectors(counts, arguments.dim, noise)
        measure(scorer, images, languages, arguments.rounds, arguments.device)
        if arguments.peer and scorer == "good":
            beside_peer(images, languages)


def vectors(counts: list[int], dim: int, noise: float) -> tuple[Floats, list[Language]]:
    """Image vectors, and captions around their images: the more noise, the more mistakes."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((IMAGES, dim), dtype=np.float32)
    languages = []
    for count in counts:
        owner = np.arange(count) % IMAGES
        texts = images[owner] / noise + rng.standard_normal((count, dim), dtype=np.float32)
        languages.append(Language(texts.astype(np.float32), owner))
    return images, languages


def measure(scorer: str, images: Floats, languages: list[Language], rounds: int, device: str) -> None:
    """Seconds over all languages, ranking beside the bare product; memory of arrays beyond the inputs."""
    bare = fastest_product(images, languages[0].texts, max(len(language.texts) for language in languages), device)
    products, rankings = [], []
    for _ in range(rounds):
        product = ranking = 0.0
        start = time.perf_counter()
        gallery = UnitVectors(images, "image vectors")
        ranking += time.perf_counter() - start
        for language in languages:
            product += seconds(lambda language=language: bare(language.texts), PAUSE)
            ranking += seconds(lambda language=language, gallery=gallery: ranks(language, gallery, device), PAUSE)
        products.append(product)
        rankings.append(ranking)
    ratios = [ranking / product for ranking, product in zip(rankings, products, strict=True)]
    spread = f"{min(ratios):.2f} - {max(ratios):.2f}"
    print(
        f"{scorer:8} {statistics.median(products):8.2f} {statistics.median(rankings):11.2f} {statistics.median(ratios):6.2f} "
        f"{spread:>14} {extra_memory(lambda: ranks(languages[0], UnitVectors(images), device)):10.0f} MB"
    )


def ranks(language: Language, gallery: UnitVectors, device: str) -> object:
    """Positions of all relevant items, both directions."""
    found = rank(language.texts, gallery, np.arange(len(language.owner)), language.owner, device=device)
    return found.by_text, found.by_image


def fastest_product(images: Floats, texts: Floats, most: int, device: str) -> Callable[[Floats], object]:
    """The quickest way here to multiply texts with all images into memory set aside."""
    if device != "cpu":
        there, result = torch.from_numpy(images).to(device), torch.empty((most, len(images)), device=device)

        def on_device(texts: Floats) -> object:
            torch.mm(torch.from_numpy(texts).to(device), there.T, out=result[: len(texts)])
            return torch.cuda.synchronize() if device.startswith("cuda") else None

        return on_device
    result = np.empty((most, len(images)), np.float32)
    shared, torch_images = torch.from_numpy(result), torch.from_numpy(images)
    ways: list[Callable[[Floats], object]] = [
        lambda texts: np.matmul(texts, images.T, out=result[: len(texts)]),
        lambda texts: torch.mm(torch.from_numpy(texts), torch_images.T, out=shared[: len(texts)]),
    ]
    return min(ways, key=lambda way: statistics.median(seconds(lambda: way(texts), PAUSE) for _ in range(7)))


def beside_peer(images: Floats, languages: list[Language]) -> None:
    """clip-benchmark's metric on the same vectors. It is given the first caption of each image, as its XM3600 task does."""
    from clip_benchmark.metrics import zeroshot_retrieval

    ours = theirs = 0.0
    for language in languages:
        texts = language.texts[:IMAGES]
        first = Language(texts, language.owner[:IMAGES])
        ours += seconds(lambda first=first: ranks(first, UnitVectors(images), "cpu"))
        model = Stored(images, texts)
        theirs += seconds(
            lambda model=model: zeroshot_retrieval.evaluate(model, model.batches(), model.tokens, "cpu", False, [1, 5, 10])
        )
    print(f"first captions: clip-benchmark {theirs:.2f} s, ranking {ours:.2f} s: {theirs / ours:.1f} times as fast")


class Stored:
    """Stands in for a model: hands out the stored vectors by row, so that only the metric costs time."""

    def __init__(self, images: Floats, texts: Floats) -> None:
        self.images, self.texts = torch.from_numpy(images), torch.from_numpy(texts)

    def batches(self, size: int = 600) -> Iterator[tuple[torch.Tensor, list[list[str]]]]:
        """Rows in place of pictures and captions."""
        for start in range(0, len(self.images), size):
            rows = torch.arange(start, min(start + size, len(self.images)))
            yield rows, [[str(row)] for row in rows.tolist()]

    def tokens(self, texts: list[str]) -> torch.Tensor:
        """The rows that the texts name."""
        return torch.tensor([int(text) for text in texts])

    def encode_image(self, rows: torch.Tensor) -> torch.Tensor:
        """Vectors of these rows."""
        return self.images[rows]

    def encode_text(self, rows: torch.Tensor) -> torch.Tensor:
        """Vectors of these rows."""
        return self.texts[rows]


def seconds(work: Callable[[], object], pause: float = 0.0) -> float:
    """Time of one call, after a pause."""
    time.sleep(pause)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def extra_memory(work: Callable[[], object]) -> float:
    """Megabytes of arrays that are alive at most while `work` runs, beyond those that were there before."""
    tracemalloc.start()
    work()
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return highest / 1e6


if __name__ == "__main__":
    main()
