from __future__ import annotations

from pathlib import Path

import pytest

from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.language_check import check_languages, judge
from mella_retrieval.data.language_id import LanguageIdentifier
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records

CZECH = "Žena sedí na lavičce v parku a čte si knihu"
SLOVAK = "Dvaja chlapci sa hrajú s loptou na ihrisku vedľa školy"
SERBIAN = "Žena sedi na klupi u parku i čita knjigu"
ENGLISH = "A woman is sitting on a bench in the park and reading a book"


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier()


def _records(folder: Path, texts: list[tuple[str, str | None]]) -> Path:
    items = [RawRecord(f"{n}", f"https://example.org/{n}.jpg", text, lang) for n, (lang, text) in enumerate(texts)]
    write_records(folder, items)
    return folder


@pytest.mark.parametrize(
    ("text", "lang", "verdict", "seems"),
    [
        (CZECH, "cs", "fits", "cs"),
        (CZECH, "ces_Latn", "fits", "cs"),
        (SLOVAK, "cs", "other", "sk"),
        (ENGLISH, "hu", "other", "en"),
        (ENGLISH, "th", "other", "en"),
        ("auto", "cs", "not told", None),
        ("1234", "cs", "not told", ""),
        (ENGLISH, "ti", "not told", "en"),
        ("አንዲት ሴት መጽሐፍ ታነባለች", "ti", "not told", "am"),
        (SERBIAN, "sr", "other script", "sr-Latn"),
        ("Жена седи на клупи у парку и чита књигу", "sr-Latn", "other script", "sr"),
        ("Жена седи на клупи у парку и чита књигу", "sr", "fits", "sr"),
    ],
)
def test_judge(identifier: LanguageIdentifier, text: str, lang: str, verdict: str, seems: str | None) -> None:
    found, what, probability = judge(identifier, text, lang)
    assert found == verdict and seems in (None, what) and 0 <= probability <= 1


def test_judge__threshold(identifier: LanguageIdentifier) -> None:
    p = identifier.probability("auto na ulici", "cs")
    assert 0 < p < 1
    assert judge(identifier, "auto na ulici", "cs", p)[0] == "fits"
    assert judge(identifier, "auto na ulici", "cs", p + 1e-9)[0] == "not told"


def test_check_languages__counts_and_examples(tmp_path: Path, identifier: LanguageIdentifier) -> None:
    texts: list[tuple[str, str | None]] = [
        ("cs", CZECH),
        ("cs", SLOVAK),
        ("cs", "auto"),
        ("sr", SERBIAN),
        ("ti", "አንዲት ሴት"),
        ("", None),
    ]
    texts += [("hu", f"{ENGLISH} number {word}") for word in ("one", "two", "three", "four", "five", "six", "seven")]
    records = Records.load(_records(tmp_path / "r", texts))
    seen: list[tuple[int, int]] = []
    report = check_languages(records, identifier, progress=lambda *at: seen.append(at))
    assert not report.ok and report.unknown == ("ti",) and seen[-1] == (13, 13)
    assert {code: dict(fit.verdicts) for code, fit in report.languages.items()} == {
        "cs": {"fits": 1, "other": 1, "not told": 1},
        "hu": {"other": 7},
        "sr": {"other script": 1},
        "ti": {"not told": 1},
    }
    assert report.languages["hu"].seems == {"en": 7} and report.languages["sr"].seems == {"sr-Latn": 1}
    assert len(report.languages["hu"].examples) == 5
    (example,) = report.languages["cs"].examples
    assert (example.record, example.text, example.seems) == (2, SLOVAK, "sk")
    assert sum(fit.texts for fit in report.languages.values()) == 12
    head, rows = report.table()
    assert [len(row) for row in rows] == [len(head)] * 4 and rows[0][:3] == ["cs", "3", "33.3%"]
    assert report.as_dict()["by_language"]["hu"]["verdicts"] == {"other": 7}


def test_check_languages__an_example_is_one_line(tmp_path: Path, identifier: LanguageIdentifier) -> None:
    report = check_languages(Records.load(_records(tmp_path / "r", [("hu", f"{ENGLISH}\n{ENGLISH}")])), identifier)
    (example,) = report.languages["hu"].examples
    assert example.text == f"{ENGLISH}\\n{ENGLISH}"[: 80 + 1] and "\n" not in example.text


def test_check_languages__own_identifier_and_threshold(tmp_path: Path) -> None:
    records = Records.load(_records(tmp_path / "r", [("cs", CZECH), ("hu", "Egy nő a parkban olvas")]))
    report = check_languages(records, LanguageIdentifier(["cs", "sk"]))
    assert report.ok and report.unknown == ("hu",)
    assert check_languages(records, threshold=1.1).languages["cs"].verdicts == {"not told": 1}


def test_the_check_of_a_folder_takes_it_in(tmp_path: Path, identifier: LanguageIdentifier) -> None:
    folder = _records(tmp_path / "r", [("cs", CZECH), ("cs", SLOVAK), ("cs", "auto")])
    report = check_folder(folder)
    assert report.ok and "languages" not in report.as_dict()
    report.add_languages(check_languages(Records.load(folder), identifier))
    assert not report.ok and report.found == {"other language": 1}
    assert [(problem.kind, problem.where) for problem in report.problems] == [("other language", "record 2")]
    assert "said to be cs, seems to be sk" in report.problems[0].what
    assert report.as_dict()["languages"]["by_language"]["cs"]["texts"] == 3
