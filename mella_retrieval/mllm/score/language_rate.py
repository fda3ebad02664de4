"""Whether answers and references are in their language; references that are not are refused.

MELLA's first author's stored files score Hungarian answers against Czech references: the scores near 0 that come of that say
nothing. So references are identified before anything is scored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from mella_retrieval import languages
from mella_retrieval.data.language_check import Verdict, judge
from mella_retrieval.data.language_id import LanguageIdentifier, group_of
from mella_retrieval.data.text import excerpt
from mella_retrieval.errors import DataError

CONFUSED: tuple[frozenset[str], ...] = (
    frozenset({"bs", "hr", "sr", "sr-Latn"}),
    frozenset({"da", "nn", "no"}),
)
"""Languages of which texts may be taken for one another, beside `language_id.GROUPS`: no proof of a mistake."""

MOSTLY = 0.5
"""References of which another language has a larger share are refused."""


@dataclass(frozen=True)
class References:
    """What the references of a language are.

    Attributes:
        good: whether each of them is to be used; those that are surely in another language are not.
        verdicts: "fits", "other script", "other", "not told" -> texts.
        seems: language -> texts of "other".
    """

    good: tuple[bool, ...]
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    seems: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Share of the texts that are in their language: what an answer as good as they are would reach."""
        return in_language(self.verdicts)


def in_language(verdicts: Counter[Verdict]) -> float:
    """Share of the texts that are in their language, in whichever script."""
    return (verdicts["fits"] + verdicts["other script"]) / max(verdicts.total(), 1)


def alike(lang: str) -> frozenset[str]:
    """The languages that texts of a language may pass for, itself among them."""
    return next((group for group in CONFUSED if lang in group), group_of(lang))


def check_references(texts: Sequence[str], lang: str, where: str, identifier: LanguageIdentifier) -> References:
    """Identify the references of one language.

    Args:
        texts: all references, not none.
        lang: canonical code of the language that they are said to be in.
        where: what they are, for the message.
        identifier: all languages that may come should be among its candidates.

    Raises:
        DataError: they are mostly another language: in it the texts have more than half of their probability.
    """
    if not identifier.knows(lang):
        return References((True,) * len(texts), Counter({"not told": len(texts)}))
    found = [judge(identifier, text, lang) for text in texts]
    weights: dict[str, float] = defaultdict(float)
    for _, seems, probability in found:
        weights[seems] += probability / len(texts)
    other = max(weights, key=lambda code: weights[code])
    share = sum(weights[code] for code in alike(other) if code in weights) if other else 0.0
    if share > MOSTLY and lang not in alike(other):
        example = next(text for text, (_, seems, _) in zip(texts, found, strict=True) if seems == other)
        raise DataError(
            f"{where} are said to be {languages.get(lang).name} and are mostly {languages.get(other).name} ({share:.0%} of their "
            f"probability over {len(texts):,} texts), such as {excerpt(example, 60)!r}. Scores against them would say nothing: "
            "take the right references, or give these their own language code."
        )
    plain: list[tuple[Verdict, str]] = [
        ("not told" if verdict == "other" and seems in alike(lang) else verdict, seems) for verdict, seems, _ in found
    ]
    return References(
        tuple(verdict != "other" for verdict, _ in plain),
        Counter(verdict for verdict, _ in plain),
        Counter(seems for verdict, seems in plain if verdict == "other"),
    )
