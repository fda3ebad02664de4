"""What models answered: a folder with a manifest that says how, to be read again, and refused where two do not compare.

An answers folder holds `manifest.json` and `answers.jsonl`: one line per question, with `kind` (`know`, `ling`, or `signs` for
the measure of forgetting), `lang`, `image_id`, `prompt` and `answer`, or `failed` with the reason. A JSONL file of one's own
needs `image_id`, `lang` and `answer`; it says nothing of how its answers were made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mella_retrieval import languages
from mella_retrieval.artifacts import (
    Json,
    canonical_json,
    describe_file,
    read_manifest,
    sha256_file,
    verify_file,
    write_manifest,
)
from mella_retrieval.errors import ArtifactError, DataError, MismatchError
from mella_retrieval.mllm.score.questions import QuestionSet

KIND, VERSION = "answers", 1
LINES = "answers.jsonl"
SIGNS = "signs"

Place = tuple[str, str, str]
"""Kind, language and image_id of a question."""


@dataclass(frozen=True, slots=True)
class Given:
    """An answer. Attributes: prompt: what was asked, "" if that is not known. text: "" where it failed. failed: why."""

    prompt: str
    text: str
    failed: str = ""


@dataclass(frozen=True)
class ArmAnswers:
    """All answers of one model.

    Attributes:
        model, fingerprint: of the captioner; for a file of one's own its name and hash.
        decoding: its settings of decoding; None where nothing is known of them.
        asked: what else decides a question: `seed`, `system`; None as for decoding.
        records: fingerprint of the records that were asked about, "" if not known.
        answers: of the questions.
        signs: (image_id, question) -> answer, of the measure of forgetting.
        signs_of: which signs these are, "" for none.
    """

    model: str
    fingerprint: str
    decoding: Json | None
    asked: Json | None
    records: str
    answers: dict[Place, Given] = field(default_factory=dict)
    signs: dict[tuple[str, str], Given] = field(default_factory=dict)
    signs_of: str = ""

    def of(self, asked: QuestionSet, image_id: str) -> Given:
        """The answer about a picture; a file of one's own need not say for which kind of text it is."""
        found = self.answers.get((asked.kind, asked.lang, image_id)) or self.answers.get(("", asked.lang, image_id))
        return found or Given("", "", "no answer was given")


def write_answers(folder: Path, given: ArmAnswers) -> None:
    """Write an answers folder; `folder` is new."""
    folder.mkdir(parents=True)
    with (folder / LINES).open("w", encoding="utf-8") as file:
        for line in _lines(given):
            file.write(canonical_json(line) + "\n")
    content = {
        "model": {"name": given.model, "fingerprint": given.fingerprint},
        "decoding": given.decoding,
        "asked": given.asked,
        "records": given.records,
        "signs": given.signs_of,
        "files": {LINES: describe_file(folder / LINES)},
    }
    write_manifest(folder, KIND, VERSION, content)


def _lines(given: ArmAnswers) -> Iterator[Json]:
    places = [*((place, one) for place, one in given.answers.items())]
    places += [((SIGNS, "en", image_id), one) for (image_id, _), one in given.signs.items()]
    for (kind, lang, image_id), one in places:
        said = {"failed": one.failed} if one.failed else {"answer": one.text}
        yield {"kind": kind, "lang": lang, "image_id": image_id, "prompt": one.prompt, **said}


def read_answers(path: Path | str) -> ArmAnswers:
    """Read an answers folder, or a JSONL file of one's own.

    Raises:
        ArtifactError: no such folder or file, or it was changed. DataError: a line that is no answer, or one that stands twice.
    """
    path = Path(path)
    if path.is_file():
        given = ArmAnswers(path.name, sha256_file(path), None, None, "")
        return _filled(given, path)
    manifest = read_manifest(path, KIND, VERSION)
    try:
        verify_file(path / LINES, manifest["files"][LINES], deep=True)
        given = ArmAnswers(
            manifest["model"]["name"],
            manifest["model"]["fingerprint"],
            manifest["decoding"],
            manifest["asked"],
            manifest["records"],
            signs_of=manifest["signs"],
        )
    except (KeyError, TypeError):
        raise ArtifactError(f"{path} has a manifest that lacks what made its answers: it is corrupted.") from None
    return _filled(given, path / LINES)


def _filled(given: ArmAnswers, path: Path) -> ArmAnswers:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines would divide at U+2028 inside of an answer, too
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        kind, lang, image_id, one = _parsed(line, f"{path}, line {number}")
        if kind == SIGNS:
            given.signs[image_id, one.prompt] = one
        elif (kind, lang, image_id) in given.answers:
            raise DataError(f"{path}, line {number}: there is another answer about {image_id} in {lang} already.")
        else:
            given.answers[kind, lang, image_id] = one
    if not given.answers:
        raise DataError(f"{path} has no answer in it.")
    return given


def _parsed(line: str, where: str) -> tuple[str, str, str, Given]:
    try:
        found: Any = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise DataError(f"{where} is no object of texts.")
    if lacking := [name for name in ("image_id", "lang") if not found.get(name)]:
        raise DataError(f"{where} has no {lacking[0]}.")
    if "answer" not in found and not found.get("failed"):
        raise DataError(f"{where} has neither an answer nor the reason why it failed.")
    try:
        lang = languages.normalise(found["lang"])
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    given = Given(found.get("prompt", ""), found.get("answer", ""), found.get("failed", ""))
    return found.get("kind", ""), lang, found["image_id"], given


# Comparing ---------------------------------------------------------------------------------------------------------------


def require_comparable(
    arms: dict[str, ArmAnswers], sets: Sequence[QuestionSet], records: str, *, unlike: bool = False
) -> list[str]:
    """Whether models were asked the same and decoded in the same way.

    Args:
        arms: name -> answers.
        sets: what they should have been asked.
        records: fingerprint of the records that are scored against.
        unlike: say the differences instead of refusing them.

    Returns:
        The differences.

    Raises:
        MismatchError: the first difference; or the answers are about other records, whatever `unlike` says.
    """
    for name, given in arms.items():
        if given.records not in ("", records):
            raise MismatchError(f"the answers of {name} ({given.model}) are about other records than those to score against.")
        if not any(place[:2] in {(one.kind, one.lang), ("", one.lang)} for place in given.answers for one in sets):
            kinds = ", ".join(one.name for one in sets)
            raise MismatchError(f"the answers of {name} ({given.model}) are about none of what is to be scored: {kinds}.")
    (first, own), *others = arms.items()
    found = [text for name, given in others for text in _differences(first, own, name, given, sets)]
    if found and not unlike:
        raise MismatchError(
            f"{found[0]}. A difference in the scores could come from that. Ask both in the same way, or say unlike=true to "
            "compare them all the same."
        )
    return found


def _differences(first: str, own: ArmAnswers, name: str, given: ArmAnswers, sets: Iterable[QuestionSet]) -> Iterator[str]:
    for what, one, other in (("decoding", own.decoding, given.decoding), ("question", own.asked, given.asked)):
        yield from _unequal(what, first, one, name, other)
    for asked in sets:
        for picture in asked.pictures:
            prompts = own.of(asked, picture.image_id).prompt, given.of(asked, picture.image_id).prompt
            if all(prompts) and prompts[0] != prompts[1]:
                yield (
                    f"{first} and {name} were asked different things about {picture.image_id} ({asked.name}): "
                    f"{prompts[0]!r} and {prompts[1]!r}"
                )
                return


def _unequal(what: str, first: str, one: Json | None, name: str, other: Json | None) -> Iterator[str]:
    if one is None and other is None:
        return
    if one is None or other is None:
        unknown, known, said = (first, name, other) if one is None else (name, first, one)
        yield f"nothing is known of the {what} of {unknown}, while that of {known} is {canonical_json(said)}"
        return
    for key in sorted({*one, *other}):
        if one.get(key) != other.get(key):
            yield f"{first} and {name} differ in their {what}: {key} is {one.get(key)!r} and {other.get(key)!r}"
