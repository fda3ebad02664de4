from collections import Counter
from pathlib import Path

import pytest

from mella_retrieval.data.language_id import LanguageIdentifier
from mella_retrieval.errors import ConfigError
from mella_retrieval.languages import MELLA
from mella_retrieval.mllm.prompts import SOURCES, Prompts


def written(folder: Path, text: str) -> Path:
    path = folder / "asked.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_prompts__of_the_package_ask_both_kinds_in_english_and_mellas_languages() -> None:
    prompts = Prompts.load()
    assert prompts.languages == tuple(sorted(("en", *MELLA)))
    for lang in prompts.languages:
        both = [text for source in SOURCES for text in prompts.of(lang, source)]
        assert len(both) == len(set(both)) == 12, lang


@pytest.mark.parametrize("source", SOURCES)
def test_prompts__of_the_package_are_in_their_language(source: str) -> None:
    pytest.importorskip("lingua")
    identifier = LanguageIdentifier(("en", *MELLA))
    prompts = Prompts.load()
    for lang in prompts.languages:
        for text in prompts.of(lang, source):
            assert identifier.identify(text).lang == lang, text


def test_choose__is_decided_by_key_and_seed_and_uses_every_template() -> None:
    prompts = Prompts.load()
    again = Prompts.load()
    drawn = [prompts.choose("hu", "know", f"t{number}", seed=3) for number in range(600)]
    assert drawn == [again.choose("hun", "know", f"t{number}", seed=3) for number in reversed(range(600))][::-1]
    counts = Counter(drawn)
    assert set(counts) == set(prompts.of("hu", "know"))
    assert min(counts.values()) > 60
    assert drawn != [prompts.choose("hu", "know", f"t{number}", seed=4) for number in range(600)]


def test_of__a_language_or_source_without_templates_names_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "hun_Latn:\n  know: [Írd meg!]\n")
    prompts = Prompts.load(path)
    assert prompts.of("hu", "know") == ("Írd meg!",)
    with pytest.raises(ConfigError, match=r"asked.yaml has no template in th; it has: hu\. Add `th: .* prompts=my.yaml"):
        prompts.of("th", "know")
    with pytest.raises(ConfigError, match=r"asked.yaml has no template of 'ling' in hu; it has: know"):
        prompts.of("hu", "ling")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no templates"),
        ("- a\n", "must hold"),
        ("hu: [a]\n", "needs know and ling"),
        ("xx-yy-zz: {know: [a]}\n", "xx-yy-zz"),
        ("hu: {konw: [a]}\n", "Did you mean 'know'"),
        ("hu: {know: a}\n", "a list of templates"),
        ("hu: {know: []}\n", "a list of templates"),
        ("hu: {know: ['  ']}\n", "is no template"),
        ("hu: {know: [a, a]}\n", "stands twice"),
        ("hu: {know: [a]}\nhun: {know: [b]}\n", "twice"),
    ],
)
def test_load__names_what_is_wrong_with_a_file(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Prompts.load(written(tmp_path, text))


def test_fingerprint__follows_the_templates(tmp_path: Path) -> None:
    first = Prompts.load(written(tmp_path, "hu: {know: [a]}\n")).fingerprint
    assert first != Prompts.load(written(tmp_path, "hu: {know: [b]}\n")).fingerprint
    assert first == Prompts.load(written(tmp_path, "hun: {know: [a]}\n")).fingerprint
