"""Import of MELLA parts on one core: records a second and peak memory, for 50,000 and 250,000 records.

A part is made with texts of realistic lengths (alt-texts of one line; descriptions of 170 to 190 words with their translation
file), imported in a process of its own that is bound to one core, and removed. Constant memory shows in peaks that do not grow
with the part but for the 48 bytes a record by which repeats are found, and 23 bytes a translation.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

LETTERS = {
    "ar": [chr(code) for code in range(0x0627, 0x064B) if chr(code).isalpha()],
    "hu": list("aábcdeéfghiíjklmnoóöőprstuúüűvz"),
    "ru": list("абвгдежзийклмнопрстуфхцчшщыьэюя"),
    "th": [chr(code) for code in range(0x0E01, 0x0E2F)],
}
CATEGORIES = ("文化类", "场景类", "综合类")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[50_000, 250_000])
    parser.add_argument("--languages", nargs="+", default=["hu", "ar"], choices=sorted(LETTERS))
    parser.add_argument("--kinds", nargs="+", default=["know", "ling"], choices=["know", "ling"])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measured(options.measure)))
        return
    print("| source | language | records | MB read | seconds | records/s | records per second of CPU | MiB before | peak MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in options.kinds:
        for lang in options.languages:
            for count in options.records:
                with tempfile.TemporaryDirectory() as temporary:
                    size = make_part(Path(temporary) / "source", kind, lang, count)
                    command = [sys.executable, __file__, "--measure", temporary]
                    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                assert found["kept"] == count, found
                speed = f"{found['seconds']:.1f} | {count / found['seconds']:,.0f} | {count / found['processor']:,.0f}"
                memory = f"{found['before']:.0f} | {found['peak']:.0f}"
                print(f"| {kind} | {lang} | {count:,} | {size / 1e6:.0f} | {speed} | {memory} |", flush=True)


def measured(folder: Path) -> dict[str, float]:
    """Import `folder/source` on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from mella_retrieval.data.importing import import_records

    before = peak()
    began, processor = time.perf_counter(), time.process_time()
    report = import_records(folder / "source", folder / "records", format="mella")
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    return {"kept": report.kept, "seconds": seconds, "processor": processor, "before": before, "peak": peak()}


def peak() -> float:
    """The most memory that this process held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_part(folder: Path, kind: str, lang: str, count: int) -> int:
    """One part, with its translations where it is of pictures; returns bytes."""
    folder.mkdir()
    name = {"know": "text_pair", "ling": "pure"}[kind]
    texts = random_texts(lang, (170, 190) if kind == "ling" else (5, 18))
    part = folder / f"image_release_v2_{lang}_image_{name}_json_in_part-00000.jsonl"
    with part.open("w", encoding="utf-8") as lines:
        for number in range(count):
            lines.write(json.dumps(line(number, lang, next(texts) if kind == "know" else ""), ensure_ascii=False) + "\n")
    if kind == "ling":
        with (folder / f"trans_{lang}.json").open("w", encoding="utf-8") as file:
            for number in range(count):
                entry = {"img_id": img_id(number), "caption": next(texts)}
                file.write(("[" if number == 0 else ",\n") + json.dumps(entry, ensure_ascii=False))
            file.write("]")
    return sum(path.stat().st_size for path in folder.iterdir())


def line(number: int, lang: str, text: str) -> dict[str, object]:
    """One line of the release."""
    stem = img_id(number)
    return {
        "img_id": stem,
        "url": f"http://www.example.org/{lang}/2018-{number % 12 + 1:02d}/c_{number}.htm",
        "data_source": "multi-web-news",
        "image": {"path": stem, "resolution": [899, 599 + number % 100], "size": 66.80078125 + number % 50, "format": "JPEG"},
        "captions": {"content": text, "lang": lang},
        "labels": {"pjwk_cates": {"level1": [CATEGORIES[number % 3]], "level2": ["民俗传统"]}},
    }


def img_id(number: int) -> str:
    """64 hexadecimal characters."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def random_texts(lang: str, words: tuple[int, int]) -> Iterator[str]:
    """Texts of so many words from a vocabulary of 20,000, most of them from its beginning, as in real texts."""
    rng = random.Random(lang)
    vocabulary = ["".join(rng.choices(LETTERS[lang], k=rng.randint(2, 10))) for _ in range(20_000)]
    while True:
        count = rng.randint(*words)
        yield " ".join(vocabulary[int(20_000 * rng.random() ** 3)] for _ in range(count)) + "."


if __name__ == "__main__":
    main()
