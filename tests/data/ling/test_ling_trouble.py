"""Trouble while `ling` is made: memory, broken plug-ins, damaged shards; and that nothing is asked twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import files_of
from ling_material import Describing, Translating, adds_up, describing, parallel, picture_records, recipe, skipped, write_table

from mella_retrieval.data.ling.contracts import Ask, Failed, Picture
from mella_retrieval.data.ling.job import Models
from mella_retrieval.data.ling.making import make_ling
from mella_retrieval.data.ling.translators import load_translator
from mella_retrieval.data.records import Records
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, EncoderError

ROWS = parallel(90, views=2)
IDS = list(ROWS)


def test_batches_are_halved_where_memory_does_not_suffice(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:20])
    captioner, translator = describing(ROWS, fits=3), Translating.right(ROWS, fits=5)
    chosen = recipe(describe={"batch": 8}, translate={"languages": ["hu"], "batch": 10}, shard=10)
    report = make_ling(records, tmp_path / "ling", chosen, Models(captioner, translator))
    assert report.texts["hu"].kept == 20
    assert [len(batch) for batch in captioner.batches] == [2] * 10
    assert [len(batch) for _, batch in translator.batches] == [5] * 4


def test_a_smaller_batch_holds_for_what_is_left_of_a_job(tmp_path: Path):
    """Where the machine ended a job for its memory, nobody could note that the batch was too large."""
    records = picture_records(tmp_path / "records", IDS[:60])
    ended = describing(ROWS, breaks=IDS[20:])
    with pytest.raises(EncoderError, match="20 times in a row"):
        make_ling(records, tmp_path / "ling", recipe([], shard=20, describe={"batch": 10}), Models(ended))
    captioner = describing(ROWS)
    make_ling(records, tmp_path / "ling", recipe([], shard=20, describe={"batch": 4}), Models(captioner))
    assert [len(batch) for batch in captioner.batches] == [4] * 10
    assert captioner.asked == IDS[20:60]


def test_a_picture_that_never_fits_is_a_failure_and_no_end(tmp_path: Path):
    class Large(Describing):
        def describe(self, pictures: Sequence[Picture], ask: Ask) -> Sequence[Sequence[str] | Failed]:
            if any(picture.image_id == "p002" for picture in pictures):
                raise RuntimeError("CUDA error: out of memory")
            return super().describe(pictures, ask)

    records = picture_records(tmp_path / "records", IDS[:5])
    captioner = Large({name: [ROWS[name][0]["en"]] for name in IDS})
    report = make_ling(records, tmp_path / "ling", recipe([]), Models(captioner))
    assert report.undescribed == {"captioner failed": 1}
    assert report.texts["en"].kept == 4
    assert "memory is not enough" in skipped(tmp_path / "ling")[0]["reason"]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (lambda pictures: ["one text"], "asked 3 times and answered 1 times"),
        (lambda pictures: "abc", "answered 3 times|asked 3 times"),
        (lambda pictures: None, "answered NoneType times"),
        (lambda pictures: ["a text", "a text", "a text"], "it answered 'a text', which is no list of texts"),
        (lambda pictures: [[1], [2], [3]], "no list of texts"),
        (lambda pictures: [["a", "b"]] * 3, "2 descriptions where 1 may be"),
    ],
)
def test_a_plug_in_that_breaks_its_contract_ends_the_work(tmp_path: Path, answers: Any, message: str):
    records = picture_records(tmp_path / "records", IDS[:3])
    captioner = describing(ROWS)
    captioner.describe = lambda pictures, ask: answers(pictures)  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=message):
        make_ling(records, tmp_path / "ling", recipe([]), Models(captioner))
    assert not (tmp_path / "ling").exists()


def test_twenty_failures_in_a_row_end_the_work_and_what_was_finished_is_kept(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:60])
    down = describing(ROWS, breaks=IDS[25:])
    chosen = recipe(shard=20, describe={"batch": 4})
    with pytest.raises(EncoderError, match=r"stand-in:describing failed 20 times in a row.*RuntimeError: cannot see p044"):
        make_ling(records, tmp_path / "ling", chosen, Models(down, Translating.right(ROWS)))
    assert down.closed == 1
    up = describing(ROWS)
    report = make_ling(records, tmp_path / "ling", chosen, Models(up, Translating.right(ROWS)), retry_failed=True)
    assert up.asked == IDS[25:60]
    assert report.texts["en"].kept == 60


def test_the_last_reason_may_be_a_sentence(tmp_path: Path):
    def busy(pictures: Sequence[Picture], ask: Ask) -> list[Failed]:
        return [Failed("the server says: out of memory.")] * len(pictures)

    captioner = describing(ROWS)
    captioner.describe = busy  # type: ignore[assignment, method-assign]
    records = picture_records(tmp_path / "records", IDS[:20])
    with pytest.raises(EncoderError, match=r"because: the server says: out of memory\. What was finished is kept"):
        make_ling(records, tmp_path / "ling", recipe([]), Models(captioner))


def test_all_failing_is_an_error(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:3])
    with pytest.raises(DataError, match="captioner failed"):
        make_ling(records, tmp_path / "ling", recipe(), Models(describing(ROWS, breaks=IDS), Translating.right(ROWS)))
    assert not (tmp_path / "ling").exists()


def test_failures_are_asked_again_where_wanted(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:5])
    translator = Translating.right(ROWS)
    del translator.said[ROWS["p001"][0]["en"], "hu"]
    out, models = tmp_path / "ling", Models(describing(ROWS, breaks=["p003"]), translator)
    report = make_ling(records, out, recipe(), models)
    adds_up(report, out)
    assert report.texts["hu"].failed == 1
    assert [row["reason"] for row in skipped(out)] == [
        "captioner failed: RuntimeError: cannot see p003",
        "translator failed: unknown text",
    ]
    mended = Models(describing(ROWS), Translating.right(ROWS))
    assert make_ling(records, out, recipe(), mended, overwrite=True).undescribed.total() == 1
    assert mended.captioner.asked == []  # type: ignore[attr-defined]
    report = make_ling(records, out, recipe(), mended, retry_failed=True, overwrite=True)
    assert report.texts["hu"].kept == 5
    assert mended.captioner.asked == ["p003"]  # type: ignore[attr-defined]
    assert {text for _, text in mended.translator.asked} == {ROWS[name][0]["en"] for name in ("p001", "p003")}  # type: ignore[union-attr]


def test_what_is_stored_is_not_asked_again(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:20])
    out = tmp_path / "ling"
    make_ling(records, out, recipe(["hu"], shard=7), Models(describing(ROWS), Translating.right(ROWS)))
    first = files_of(out)
    captioner, translator = describing(ROWS), Translating.right(ROWS)
    again = Models(captioner, translator)
    with pytest.raises(ArtifactError, match="already exists"):
        make_ling(records, out, recipe(["hu"], shard=7), again)
    make_ling(records, out, recipe(["hu"], shard=7), again, overwrite=True)
    assert files_of(out) == first
    report = make_ling(
        records, out, recipe(["hu"], shard=7, checks={"length": {"low": 0.99, "deviations": 0}}), again, overwrite=True
    )
    assert report.texts["hu"].rejected["length"] > 0
    assert captioner.asked == translator.asked == []
    make_ling(records, out, recipe(["th", "hu"], shard=7), again, overwrite=True)
    assert captioner.asked == []
    assert {lang for lang, _ in translator.asked} == {"th"}
    other = describing(ROWS)
    other.fingerprint = "another model"
    make_ling(records, out, recipe(["hu"], shard=7), Models(other, translator), overwrite=True)
    assert other.asked == IDS[:20]


def test_a_damaged_shard_is_asked_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    records = picture_records(tmp_path / "records", IDS[:9])
    out = tmp_path / "ling"
    make_ling(records, out, recipe(["hu"], shard=3), Models(describing(ROWS), Translating.right(ROWS)))
    first = files_of(out)
    (damaged_file,) = (tmp_path / "ling.work").glob("describe-*/00001.jsonl")
    damaged_file.write_bytes(damaged_file.read_bytes()[:-30])
    captioner = describing(ROWS)
    make_ling(records, out, recipe(["hu"], shard=3), Models(captioner, Translating.right(ROWS)), overwrite=True)
    assert captioner.asked == IDS[3:6]
    assert "damaged" in caplog.text
    assert files_of(out) == first


def test_what_cannot_work_fails_before_the_long_work(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:3])
    captioner = describing(ROWS)
    with pytest.raises(ConfigError, match="there is no translator"):
        make_ling(records, tmp_path / "ling", recipe(["hu"]), Models(captioner))
    table = write_table(tmp_path / "parallel.csv", [{"en": "x", "hu": "y"}])
    with pytest.raises(DataError, match="no column for Thai"):
        make_ling(records, tmp_path / "ling", recipe(["hu", "th"]), Models(captioner, load_translator(f"table:{table}")))
    with pytest.raises(DataError, match="no column 'gone'"):
        make_ling(records, tmp_path / "ling", recipe([], columns=["gone"]), Models(captioner))
    assert captioner.asked == []
    assert not list(tmp_path.glob("*.work"))
    for out in (tmp_path / "records", tmp_path, tmp_path / "records-pictures"):
        with pytest.raises(DataError, match="would replace the records or pictures"):
            make_ling(records, out, recipe([]), Models(captioner), overwrite=True)
    assert len(Records.load(tmp_path / "records")) == 6
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    for overwrite, message in ((False, "already exists"), (True, "manifest")):
        with pytest.raises(ArtifactError, match=message):
            make_ling(records, tmp_path / "mine", recipe([]), Models(captioner), overwrite=overwrite)
    assert captioner.asked == []
