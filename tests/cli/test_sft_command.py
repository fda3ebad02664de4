from pathlib import Path

import pytest
from program import Mella

from mella_retrieval.data.records import RawRecord
from mella_retrieval.data.writing import write_records
from mella_retrieval.mllm.sft.report import Prepared, SftReport


@pytest.fixture
def records(tmp_path: Path) -> Path:
    write_records(tmp_path / "records", [RawRecord("i", "a.png", "ház", "hu", source="know")])
    return tmp_path / "records"


def test_sft__help_says_how_several_gpus_are_used(mella: Mella) -> None:
    ran = mella("sft", "--help")
    assert ran.code == 0
    assert "torchrun --nproc-per-node 8 --no-python mella sft" in " ".join(ran.out.split())
    for option in ("--recipe", "--where", "--device", "--overwrite", "--json"):
        assert option in ran.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["leraning_rate=1"], "Did you mean 'learning_rate'?"),
        (["--recipe", "smal"], "Did you mean 'small'?"),
        (["--device", "cuda:1x"], "is no device"),
        ([], "there is no folder"),
    ],
)
def test_sft__what_is_wrong_is_one_sentence(
    mella: Mella, records: Path, tmp_path: Path, arguments: list[str], problem: str
) -> None:
    ran = mella("sft", tmp_path / "no-model", records, tmp_path / "out", *arguments)
    assert ran.code == 1
    assert ran.out == ""
    assert problem in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.work").exists()


def test_sft__a_model_that_is_not_image_text_to_text_is_named(mella: Mella, records: Path, tmp_path: Path) -> None:
    model = tmp_path / "bert"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    ran = mella("sft", model, records, tmp_path / "out")
    assert ran.code == 1
    assert "'bert', not one that answers about pictures" in ran.err


def test_sft__tells_of_no_speed_where_all_was_done_before(
    mella: Mella, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = SftReport(tmp_path / "out", "base", "lora", Prepared(1, 1), steps=6, resumed_at=6, seconds=0.1)
    monkeypatch.setattr("mella_retrieval.mllm.sft.fine_tune", lambda *_, **__: done)
    ran = mella("sft", "base", records, tmp_path / "out")
    assert ran.code == 0
    assert "base after 6 steps" in ran.out
    assert "tokens a second" not in ran.out
    done.tokens = 120
    assert "1,200 tokens a second" in mella("sft", "base", records, tmp_path / "out").out
