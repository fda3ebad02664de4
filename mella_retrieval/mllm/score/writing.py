"""Scores as files: JSON for programs, CSV for spreadsheets, Markdown for people; and what is not in them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from mella_retrieval.artifacts import describe_file, write_json, write_manifest
from mella_retrieval.mllm.score.answers import ArmAnswers, write_answers
from mella_retrieval.mllm.score.questions import Questions
from mella_retrieval.mllm.score.results import ScoreReport
from mella_retrieval.mllm.score.table import markdown

KIND, VERSION = "scores", 1


def write_report(folder: Path, report: ScoreReport, answers: Mapping[str, ArmAnswers], questions: Questions) -> None:
    """Write a report into a new folder."""
    write_json(folder / "scores.json", report.as_dict())
    _write_csv(folder / "scores.csv", report)
    (folder / "scores.md").write_text(markdown(report), encoding="utf-8")
    _write_skipped(folder / "skipped.csv", answers, questions)
    for name, given in answers.items():
        write_answers(folder / "answers" / name, given)
    files = ("scores.json", "scores.csv", "scores.md", "skipped.csv")
    content = {
        "models": report.models,
        "records": report.records,
        "files": {name: describe_file(folder / name) for name in files},
    }
    write_manifest(folder, KIND, VERSION, content)


def _write_csv(path: Path, report: ScoreReport) -> None:
    """One line for each metric, language and model; differences are from the first model."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        head = ["kind", "metric", "lang", "model", "pictures", "score", "low", "high", "chance"]
        writer.writerow([*head, "difference", "difference_low", "difference_high", "p", "p_holm"])
        for row in report.rows:
            for name, cell in row.cells.items():
                score = cell.score
                line = [row.kind, row.metric, row.lang, name, row.pictures, score.value, score.low, score.high, cell.chance]
                found = row.differences.get(name)
                more = [found.value, found.low, found.high, found.p, found.p_holm] if found else [None] * 5
                writer.writerow(["" if value is None else value for value in [*line, *more]])


def _write_skipped(path: Path, answers: Mapping[str, ArmAnswers], questions: Questions) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["where", "reason", "excerpt"])
        writer.writerows([one.where, one.reason, one.excerpt] for one in questions.rejected)
        for name, given in answers.items():
            for asked in questions.sets:
                for picture in asked.pictures:
                    if failed := given.of(asked, picture.image_id).failed:
                        writer.writerow([f"{picture.image_id}, {asked.name}, {name}", failed, ""])
