"""`mella describe` from pictures to records: with a model on this machine and behind real and pretended servers."""

from __future__ import annotations

import csv
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chat_server_stand_in import Chat, chatting
from fakes import files_of
from speaking import ASKED, COLOURS, answer, picture
from typer.testing import CliRunner, Result

from mella_retrieval.cli.app import app
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ConfigError, DataError, EncoderError, UnavailableError
from mella_retrieval.languages import MELLA
from mella_retrieval.mllm.captioners import CAPTIONERS
from mella_retrieval.recipes import find_recipe, read_yaml

QUICK = "checks.language=null"
LEARNT = [f"describe.prompts.{lang}=['{prompt}']" for lang, prompt in ASKED.items()]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Four pictures of one colour each, two texts about each, and one that is no picture."""
    for colour in COLOURS:
        picture(colour).save(tmp_path / f"{colour}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    rows = [
        RawRecord(name, f"{name}.png", f"alt {number} of {name}", "hu", "know", extras={"split": "train"})
        for name in (*COLOURS, "broken")
        for number in (1, 2)
    ]
    write_records(tmp_path / "records", rows, image_root=tmp_path)
    return tmp_path / "records"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["describe", *map(str, arguments)])


def texts(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in Records.load(folder).table(["image_id", "text"]).to_pylist():
        found.setdefault(row["image_id"], []).append(row["text"])
    return found


def skipped(folder: Path) -> list[dict[str, str]]:
    with (folder / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_pictures_become_records(records: Path, taught: Path, tmp_path: Path):
    ran = run(records, tmp_path / "out", "-c", f"transformers:{taught}?max_new_tokens=14", "--device", "cpu", *LEARNT, QUICK)
    assert ran.exit_code == 0, (ran.output, ran.exception)
    assert "out: 4 records; 4 of 5 pictures described" in ran.output
    assert "not described 1: unreadable picture" in ran.output
    assert texts(tmp_path / "out") == {colour: [answer(colour)] for colour in COLOURS}
    row = Records.load(tmp_path / "out").table().to_pylist()[0]
    assert (row["lang"], row["source"], row["split"], row["view"]) == ("en", "ling", "train", 1)
    assert row["captioner"] == "transformers:taught?max_new_tokens=14"
    (line,) = skipped(tmp_path / "out")
    assert line["reason"].startswith("unreadable picture")
    manifest = (tmp_path / "out" / "manifest.json").read_text(encoding="utf-8")
    assert "max_new_tokens=14" in manifest
    assert str(taught.parent) not in manifest


def test_in_another_language_and_as_json(records: Path, taught: Path, tmp_path: Path):
    spec = f"transformers:{taught}?max_new_tokens=14"
    ran = run(records, tmp_path / "out", "-c", spec, "--lang", "hu", "--device", "cpu", *LEARNT, QUICK, "--json")
    assert ran.exit_code == 0, (ran.output, ran.exception)
    report = json.loads(ran.stdout)
    assert report["texts"] == {"hu": {"asked": 4, "kept": 4, "failed": 0, "rejected": {}}}
    assert report["undescribed"] == {"unreadable picture": 1}
    assert texts(tmp_path / "out") == {colour: [answer(colour, "hu")] for colour in COLOURS}


def test_several_views_are_several_records_of_a_picture(records: Path, tmp_path: Path):
    with chatting(Chat(answer=lambda prompt, seen: f"Seen, {prompt[:14]} so it is.")) as chat:
        ran = run(records, tmp_path / "out", "-c", chat.spec, "describe.views=3", QUICK, "checks.echo=null")
    assert ran.exit_code == 0, (ran.output, ran.exception)
    rows = Records.load(tmp_path / "out").table(["image_id", "view", "text"]).to_pylist()
    assert [row["view"] for row in rows if row["image_id"] == "red"] == [1, 2, 3]
    assert len({row["text"] for row in rows if row["image_id"] == "red"}) == 3
    assert len(chat.requests) == 12


def test_views_that_repeat_a_text_are_told(records: Path, tmp_path: Path):
    with chatting(Chat(answer=lambda prompt, seen: "A house stands on the grass.")) as chat:
        ran = run(records, tmp_path / "out", "-c", chat.spec, "describe.views=3", QUICK)
    assert "out: 4 records; 4 of 5 pictures described" in ran.output
    assert "repeated 8: views that say the same of their picture as an earlier one; kept once" in ran.output
    assert "the recipe leaves it out" not in ran.output


def test_what_the_checks_reject_is_listed(records: Path, tmp_path: Path):
    with chatting() as chat:
        said = {
            "red": "I'm sorry, I cannot see pictures.",
            "green": "",
            "blue": "A house. Grass around it. And a tree and",
            "white": "A white house.",
        }
        chat.plan = list(said.values())
        ran = run(records, tmp_path / "out", "-c", f"{chat.spec}?parallel=1", QUICK)
    assert ran.exit_code == 0, (ran.output, ran.exception)
    assert texts(tmp_path / "out") == {"white": ["A white house."]}
    reasons = sorted(line["reason"].split(":")[0] for line in skipped(tmp_path / "out"))
    assert reasons == ["description empty", "description ending", "description refusal", "unreadable picture"]


def test_a_server_that_goes_down_and_comes_back(records: Path, tmp_path: Path):
    """What was finished is kept, the rest is asked, and the end is what it is without the trouble."""

    def job(chat: Chat, out: str) -> Result:
        options = ("shard=3", "describe.batch=1", QUICK)
        return run(records, tmp_path / out, "-c", f"{chat.spec}?retries=0&parallel=1", *options)

    def said(prompt: str, seen: Any) -> str:
        return f"A house of the colour {seen.convert('RGB').getpixel((1, 1))}."

    with chatting(Chat(answer=said)) as chat:
        chat.plan, chat.always = ["A red house.", "A green house."], 503
        ran = job(chat, "out")
        assert isinstance(ran.exception, UnavailableError)
        assert "overloaded or not ready" in str(ran.exception)
        assert not (tmp_path / "out").exists()
        chat.requests.clear()
        chat.always = None
        assert job(chat, "out").exit_code == 0
        assert len(chat.requests) == 2  # blue and white
        chat.plan = ["A red house.", "A green house."]
        assert job(chat, "undisturbed").exit_code == 0
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")
    assert len(Records.load(tmp_path / "out")) == 4


def test_a_server_that_is_down_is_said_at_once(records: Path, tmp_path: Path):
    with chatting() as gone:
        pass
    ran = run(records, tmp_path / "out", "-c", f"{gone.spec}?model=x&retries=0", QUICK)
    assert isinstance(ran.exception, UnavailableError)
    assert "no server answers at" in str(ran.exception)
    assert not (tmp_path / "out").exists()


def test_failures_of_single_pictures_are_listed_and_asked_again(records: Path, tmp_path: Path):
    spec = "retries=0&parallel=1&timeout=0.5"
    with chatting(Chat(answer=lambda prompt, seen: "A house.")) as chat:
        chat.plan = [400, b"<html>", "slow"]
        assert run(records, tmp_path / "out", "-c", f"{chat.spec}?{spec}", QUICK).exit_code == 0
        reasons = [re.sub(r" \(.*", "", line["reason"]) for line in skipped(tmp_path / "out")]
        chat.released.set()
        again = run(records, tmp_path / "out", "-c", f"{chat.spec}?{spec}", QUICK, "--retry-failed", "--overwrite")
    assert reasons[:3] == [
        "captioner failed: the server answered 400: told to fail with 400",
        "captioner failed: the answer has no text",
        "captioner failed: no answer within 0.5 s",
    ]
    assert reasons[3].startswith("unreadable picture")
    assert again.exit_code == 0
    assert texts(tmp_path / "out") == {colour: ["A house."] for colour in COLOURS}


def test_data_ling_takes_the_same_captioners(records: Path, taught: Path, tmp_path: Path):
    spec = f"transformers:{taught}?max_new_tokens=14"
    arguments = [str(records), str(tmp_path / "out"), "-c", spec, "translate.languages=[]", QUICK, LEARNT[0]]
    ran = CliRunner().invoke(app, ["data", "ling", *arguments, "--device", "cpu"])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    assert texts(tmp_path / "out") == {colour: [answer(colour)] for colour in COLOURS}
    assert set(CAPTIONERS) == {"transformers", "server"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("-c", "transformer:x"), ConfigError, "Did you mean 'transformers'"),
        (("-c", "transformers:{here}/records"), EncoderError, "has no config.json"),
        (("-c", "transformers:{taught}?max_token=3"), ConfigError, "max_new_tokens"),
        (("-c", "transformers:{taught}", "--lang", "fi"), ConfigError, "there is no prompt in Finnish"),
        (("-c", "transformers:{taught}", "--lang", "xx"), ConfigError, "'xx' is not a known language code"),
        (("-c", "transformers:{taught}", "--device", "cuda:77"), EncoderError, "CUDA"),
        (("-c", "transformers:{taught}", "--recipe", "describ"), ConfigError, "Did you mean 'describe'"),
        (("-c", "transformers:{taught}", "--where", "split=test"), DataError, "nothing to describe|no"),
    ],
)
def test_what_is_wrong_is_said(records: Path, taught: Path, tmp_path: Path, arguments: Any, error: type, message: str):
    ran = run(records, tmp_path / "out", *(str(one).format(here=tmp_path, taught=taught) for one in arguments), QUICK)
    assert isinstance(ran.exception, error), ran.exception
    assert re.search(message, str(ran.exception)), ran.exception


def test_the_recipe_has_prompts_in_english_and_all_languages_of_mella():
    prompts = read_yaml(find_recipe("mllm", "describe"))["describe"]["prompts"]
    assert set(prompts) == {"en", *MELLA}
    assert {len(set(of)) for of in prompts.values()} == {3}
    told = {prompt for of in prompts.values() for prompt in of}
    assert len(told) == 27


def test_the_page_names_every_option():
    from mella_retrieval.mllm.local_captioner import LocalOptions
    from mella_retrieval.mllm.server_captioner import ServerCaptionerOptions

    page = (Path(__file__).parents[2] / "docs" / "describing.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)", "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))))
    assert named == {*LocalOptions.model_fields, *ServerCaptionerOptions.model_fields}


@contextmanager
def served(model: Path, home: Path) -> Iterator[str]:
    """`transformers serve`, as a user starts it."""
    (home / "hub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(model), "--device", "cpu", "--dtype", "float32"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log, env=environment)
        try:
            _until_healthy(server, f"http://127.0.0.1:{port}/health", home / "log")
            yield f"server:http://127.0.0.1:{port}/v1?model={model}"
        finally:
            server.terminate()
            server.wait(20)


def _until_healthy(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(1200):
        try:
            with opener.open(address, timeout=2):
                return
        except OSError:
            assert server.poll() is None, log.read_text(errors="replace")[-2000:]
            time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


def test_a_real_server_says_what_the_model_says_here(records: Path, taught: Path, tmp_path: Path):
    pytest.importorskip("fastapi")
    with served(taught, tmp_path / "home") as spec:
        ran = run(records, tmp_path / "out", "-c", f"{spec}&max_new_tokens=14&format=png", "--lang", "hu", *LEARNT, QUICK)
    assert ran.exit_code == 0, (ran.output, ran.exception)
    assert texts(tmp_path / "out") == {colour: [answer(colour, "hu")] for colour in COLOURS}
    assert Records.load(tmp_path / "out").table(["captioner"])["captioner"][0].as_py() == (
        "server:taught?format=png&max_new_tokens=14"
    )
    assert str(taught.parent) not in (tmp_path / "out" / "manifest.json").read_text(encoding="utf-8")
