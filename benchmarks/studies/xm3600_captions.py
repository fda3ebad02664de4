"""XM3600: read the captions in 36 languages and report their counts."""

from __future__ import annotations

import shutil
from pathlib import Path

from common import DATA, REPOSITORY, RESULTS, RUNS, hashes, markdown, require, save_json, write_table

from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.data.stats import describe_records

CAPTIONS = DATA / "xm3600" / "captions_first.jsonl.gz"


def main() -> None:
    """Import, check, describe; renew the table in benchmarks/README.md."""
    require(CAPTIONS)
    folder = RUNS / "xm3600"
    shutil.rmtree(folder, ignore_errors=True)
    report = import_records(CAPTIONS, folder)
    checked = check_folder(folder)
    found = describe_records(Records.load(folder))
    languages = found["by_language"]
    rows = [
        [
            code,
            entry["name"],
            f"{entry['records']:,}",
            f"{entry['texts']:,}",
            f"{entry['texts_on_several_images']:,}",
            f"{entry['characters']['median']:.0f}",
            ", ".join(f"{script} {100 * share:.1f} %" for script, share in list(entry["scripts"].items())[:2]),
        ]
        for code, entry in languages.items()
    ]
    summary = (
        f"{report.read:,} captions read, {report.kept:,} kept, {sum(report.rejected.values()):,} rejected; "
        f"{found['images']:,} images, {len(languages)} languages; `mella data check`: "
        f"{'nothing is wrong' if checked.ok else dict(checked.found)}."
    )
    head = ["lang", "language", "captions", "different", "on several images", "median length", "scripts"]
    save_json(
        RESULTS / "xm3600-captions" / "result.json",
        {"hashes": hashes(Path(__file__), [CAPTIONS]), "import": report.as_dict(), "check": checked.as_dict(), "stats": found},
    )
    write_table(REPOSITORY / "benchmarks" / "README.md", "xm3600 captions", [summary, "", *markdown(head, rows)])


if __name__ == "__main__":
    main()
