"""`mella translate`: what it prints, what is wrong in one sentence, and that its page names all options."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from program import Mella

from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import write_records

PAGE = Path(__file__).parents[2] / "docs" / "translating.md"
PARALLEL = "en,hu\nA dog runs.,Egy kutya szalad.\nTwo boats lie in the harbour.,Két hajó Two boats lie in the harbour.\n"
QUICK = "checks.language=null"


@pytest.fixture(autouse=True)
def material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus and parallel texts, in the working folder."""
    items = [RawRecord("", "", text, "en") for text in ("A dog runs.", "Two boats lie in the harbour.", "Unknown.")]
    write_records(tmp_path / "english", items, options=ImportOptions(text_only=True))
    (tmp_path / "parallel.csv").write_text(PARALLEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_became_of_the_texts_is_shown(mella: Mella):
    ran = mella("translate", "english", "out", "-t", "table:parallel.csv", "--to", "hun_Latn", QUICK)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0] == "out: 1 records; 3 texts in en"
    assert next(line.split() for line in lines if line.startswith("hu ")) == ["hu", "3", "1", "1", "1"]
    assert any(line.startswith("untranslated") and "6 words of the source in a row" in line for line in lines)
    assert not any(line.startswith("not checked: language") for line in lines)  # whoever leaves it out knows
    assert Records.load("out").table(["text"])["text"].to_pylist() == ["Egy kutya szalad."]


def test_as_json_and_with_a_recipe_of_ones_own(mella: Mella, material: Path):
    (material / "my.yaml").write_text("languages: [hu]\nchecks: {language: null, untranslated: null, length: null}\n")
    ran = mella("translate", "english", "out", "-t", "table:parallel.csv", "--recipe", "my.yaml", "--json")
    found = json.loads(ran.out)
    assert (found["source"], found["sources"], found["texts"]["hu"]["kept"]) == ("en", 3, 2)
    assert found["records"]["kept"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("english", "out", "-t", "table:parallel.csv"), "translate.yaml: there is no language to translate into"),
        (("english", "out", "-t", "table:parallel.csv", "--to", "xx"), "'xx' is not a known language code"),
        (("english", "out", "-t", "table:parallel.csv", "--to", "th"), "no column for Thai"),
        (("english", "out", "-t", "table:parallel.csv", "--to", "hu", "--from", "cs"), "no texts in Czech"),
        (("english", "out", "-t", "transformer:x", "--to", "hu"), "Did you mean 'transformers'"),
        (("english", "out", "-t", "transformers:./x", "--to", "hu"), "there is no folder x"),
        (("english", "out", "-t", "server:127.0.0.1", "--to", "hu"), "is no address of a server"),
        (("english", "out", "-t", "table:parallel.csv", "--to", "hu", "bach=3"), "unknown key 'bach'. Did you mean 'batch'"),
        (("nowhere", "out", "-t", "table:parallel.csv", "--to", "hu"), "there is no folder nowhere"),
        (("english", "english", "-t", "table:parallel.csv", "--to", "hu", "--overwrite"), "would replace the records"),
    ],
)
def test_what_is_wrong_is_one_sentence(mella: Mella, arguments: tuple[str, ...], message: str):
    ran = mella("translate", *arguments)
    assert ran.code == 1
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert not Path("out").exists()


def test_the_page_names_every_option_and_none_that_there_is_not():
    from mella_retrieval.mllm.chat_translators import LocalChatOptions, ServerChatOptions
    from mella_retrieval.mllm.seq2seq import Seq2SeqOptions

    rows = re.findall(r"^\| `(\w+):\w+` \|[^|]*\|([^|]*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {kind: set(re.findall(r"`(\w+)`", text)) - {"sentence", "text"} for kind, text in rows}
    assert named["transformers"] == set(Seq2SeqOptions.model_fields)
    assert named["chat"] == set(LocalChatOptions.model_fields)
    shared = set(ServerChatOptions.model_fields) & named["chat"]
    assert named["server"] | shared == set(ServerChatOptions.model_fields)
