"""The checks of descriptions and translations, in the order in which they decide: what is cheap and plain comes first."""

from __future__ import annotations

from collections.abc import Mapping

from mella_retrieval.data.ling.checks.agreement import Agreement
from mella_retrieval.data.ling.checks.check import Check
from mella_retrieval.data.ling.checks.damage import Echo, Empty, Encoding, Ending, Refusal
from mella_retrieval.data.ling.checks.language import InLanguage
from mella_retrieval.data.ling.checks.length import Length
from mella_retrieval.data.ling.checks.repetition import Repetition
from mella_retrieval.data.ling.checks.untranslated import Script, Untranslated

CHECKS: Mapping[str, type[Check]] = {
    check.name: check
    for check in (
        Empty, Encoding, Refusal, Echo, Repetition, Script, Untranslated, Length, Ending, InLanguage, Agreement,
    )
}  # fmt: skip
"""Name, as recipes have it -> check."""
