"""Long texts as sentences."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.data.sentences import split_sentences, write_sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red house. Two dogs run! Why?", ["A red house.", "Two dogs run!", "Why?"]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("Egy kutya fut. A fű zöld", ["Egy kutya fut.", "A fű zöld"]),
        ("هل هذا كلب؟ نعم، كلب.", ["هل هذا كلب؟", "نعم، كلب."]),
        ("「そうです。」彼は言った。", ["「そうです。」", "彼は言った。"]),
        ("一只狗在跑。草是绿的！", ["一只狗在跑。", "草是绿的！"]),
        ("यह कुत्ता है। वह दौड़ता है।", ["यह कुत्ता है।", "वह दौड़ता है।"]),
        ("หมาวิ่งบนหญ้า สีเขียว", ["หมาวิ่งบนหญ้า สีเขียว"]),
        ("It is 3.5 m long. J. Smith made it.", ["It is 3.5 m long.", "J. Smith made it."]),
        ("first line\nsecond line\n\n", ["first line", "second line"]),
        ("  ", []),
    ],
)
def test_sentences_end_where_their_marks_are(text: str, expected: list[str]):
    assert split_sentences(text) == expected


@given(st.text(alphabet='ab .!?。\n"؟', max_size=60))
def test_nothing_is_lost_or_invented(text: str):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_every_sentence_keeps_its_picture_and_names_its_text(tmp_path: Path):
    path = tmp_path / "captions.csv"
    path.write_text(
        "image_id,image,text,lang,source,text_id,split\n"
        'a,http://x.example/a.jpg,"Ein Hund. Er läuft.",de,ling,t1,train\n'
        "b,http://x.example/b.jpg,Ein Haus,de,know,t2,test\n",
        encoding="utf-8",
    )
    import_records(path, tmp_path / "records")
    report = write_sentences(Records.load(tmp_path / "records"), tmp_path / "out")
    found = Records.load(tmp_path / "out")
    assert report.kept == 3
    assert found.table(["image_id", "image", "text", "source", "text_id", "part_of", "split"]).to_pylist() == [
        dict(zip(("image_id", "image", "text", "source", "text_id", "part_of", "split"), row, strict=True))
        for row in (
            ("a", "http://x.example/a.jpg", "Ein Hund.", "ling", "t1#1", "t1", "train"),
            ("a", "http://x.example/a.jpg", "Er läuft.", "ling", "t1#2", "t1", "train"),
            ("b", "http://x.example/b.jpg", "Ein Haus", "know", "t2#1", "t2", "test"),
        )
    ]
    assert check_folder(tmp_path / "out").ok
