"""Near-duplicates and composing: time, and memory for each picture, text and record.

    python benchmarks/performance/near.py                      # all parts, 200,000 of each
    python benchmarks/performance/near.py --count 1000000 --parts pairs

Each part runs in a process of its own, so that its peak of memory is its own. Beside ours stand, in the same run: decoding alone
for hashing pictures, and datasketch's MinHashLSH with the same bands for texts. Texts are drawn from a vocabulary of 20,000 words
by Zipf's law, 4 to 20 words each; one in twenty is an earlier one with a letter changed.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mella_retrieval.data.compose.compose import compose
from mella_retrieval.data.compose.recipe import ComposeRecipe
from mella_retrieval.data.images import read_image
from mella_retrieval.data.near.images import SeenImages, image_pairs, perceptual_hash
from mella_retrieval.data.near.shingles import normal_form, shingles
from mella_retrieval.data.near.sketches import TextSketches
from mella_retrieval.data.near.texts import SIMILARITY, SeenTexts, text_pairs
from mella_retrieval.data.records import RawRecord
from mella_retrieval.data.writing import write_records
from mella_retrieval.recipes import build_config

Row = tuple[str, int, float, float, int]
"""What, how many, seconds, seconds of processors, bytes of memory that it took."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    print("| what | number | seconds | processor seconds | each, microseconds of a processor | each, bytes at the peak |")
    print("|---|---|---|---|---|---|")
    for part in options.parts:
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # a process for each part
            for what, number, seconds, busy, memory in pool.apply(PARTS[part], (options.count,)):
                each = f"{1e6 * busy / number:,.0f} | {memory / number:,.0f}"
                print(f"| {what} | {number:,} | {seconds:.1f} | {busy:.1f} | {each} |", flush=True)


def peak() -> int:
    """The process's peak of memory so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(what: str, number: int, work: Callable[[], object]) -> Row:
    """Seconds, processor seconds of all threads, and by how much the peak of memory rose."""
    before, began, busy = peak(), time.perf_counter(), time.process_time()
    work()
    return what, number, time.perf_counter() - began, time.process_time() - busy, peak() - before


def hashing(_: int) -> list[Row]:
    """500 x 375 JPEGs in memory: decoded alone, and decoded and hashed; in turns."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(300):
        noise = rng.normal(128, 40, (24, 32, 3)).clip(0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    decoding = measured("decoding a 500 x 375 JPEG, alone", len(files), lambda: [read_image(data) for data in files])
    both = measured("decoding and hashing it", len(files), lambda: [perceptual_hash(read_image(data)) for data in files])
    return [decoding, both]


def pairs(count: int) -> list[Row]:
    """Random hashes, one in twenty of them close to another."""
    hashes = np.random.default_rng(0).integers(1, 1 << 63, count, dtype=np.uint64)
    hashes[: count // 20] = hashes[-(count // 20) :] ^ np.uint64(1 << 7 | 1 << 33)
    rows = [measured(f"image_pairs, distance {near}", count, lambda near=near: image_pairs(hashes, near)) for near in (4, 6, 8)]
    seen = SeenImages()
    return [*rows, measured("SeenImages, distance 4", count, lambda: [seen.seen(value) for value in hashes.tolist()])]


def texts(count: int) -> list[Row]:
    """Sketching, pairs, a stream; and datasketch's own index."""
    lines = list(sentences(count))
    rows = [
        measured("TextSketches.add", count, lambda: TextSketches(SIMILARITY).add([normal_form(line) for line in lines])),
        measured("text_pairs", count, lambda: text_pairs(lines)),
    ]
    return rows


def stream(count: int) -> list[Row]:
    """Texts one by one."""
    lines, seen = list(sentences(count)), SeenTexts()
    return [measured("SeenTexts", count, lambda: [seen.seen(line) for line in lines])]


def peer(count: int) -> list[Row]:
    """datasketch's MinHashLSH with the bands of ours: insert and query, candidates not verified."""
    from datasketch import MinHash, MinHashLSH

    lines, index, empty = list(sentences(count)), MinHashLSH(num_perm=208, params=(26, 8)), MinHash(num_perm=208)

    def work() -> None:
        for number, line in enumerate(lines):
            sketch = empty.copy()
            sketch.update_batch([part.encode() for part in shingles(normal_form(line))])
            index.query(sketch)
            index.insert(number, sketch)

    return [measured("datasketch's MinHashLSH, unverified", count, work)]


def composing(count: int) -> list[Row]:
    """know and ling, half of the records each: one picture a text, and five languages a picture; no picture files."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lines = sentences(count)
        langs = ("hu", "cs", "th", "ko", "vi")
        know = (RawRecord(f"k{n}", f"k/{n}.jpg", next(lines), langs[n % 5], "know") for n in range(count // 2))
        ling = (RawRecord(f"l{n // 5}", f"l/{n // 5}.jpg", next(lines), langs[n % 5], "ling") for n in range(count - count // 2))
        write_records(folder / "know", know)
        write_records(folder / "ling", ling)
        sources = {name: {"path": str(folder / name), "weight": 1} for name in ("know", "ling")}
        near, equal = (
            build_config(ComposeRecipe, {"sources": sources, "duplicates": {"images": None, "texts": texts}}, "the benchmark")
            for texts in (SIMILARITY, 1)
        )
        return [
            measured("compose, only equal texts", count, lambda: compose(folder / "equal", equal)),
            measured("compose, near-equal texts", count, lambda: compose(folder / "near", near)),
        ]


def sentences(count: int) -> Iterator[str]:
    """Texts as the module says."""
    rng = np.random.default_rng(0)
    letters = np.array(list("aábcdeéfghiíjklmnoóöőpqrstuúüűvwxyz"))
    words = ["".join(rng.choice(letters, length)) for length in rng.integers(2, 11, 20_000)]
    earlier: list[str] = []
    for number in range(count):
        if number % 20 == 19:
            text = earlier[int(rng.integers(len(earlier)))]
            place = int(rng.integers(len(text)))
            yield f"{text[:place]}{rng.choice(letters)}{text[place + 1 :]}"
            continue
        text = " ".join(words[min(rank, 20_000) - 1] for rank in rng.zipf(1.2, int(rng.integers(4, 21))))
        if len(earlier) < 10_000:
            earlier.append(text)
        yield text


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "hashing": hashing,
    "pairs": pairs,
    "texts": texts,
    "stream": stream,
    "peer": peer,
    "composing": composing,
}

if __name__ == "__main__":
    main()
