"""The recipe of `mella translate`."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from mella_retrieval.data.ling.checks.check import canonical
from mella_retrieval.data.ling.recipe import Checks, Translate


class TranslateRecipe(Translate):
    """How texts are translated.

    Attributes:
        source: language of the texts; null: the only one that there is.
        languages, batch: see `Translate`.
        checks: of the translations; see `data.ling.recipe.Checks`.
        shard: texts whose translations are stored at a time; a killed job loses at most one. `agreement` compares within it.
    """

    source: str | None = None
    checks: Checks = Checks()
    shard: int = Field(default=1000, ge=1)

    @field_validator("source")
    @classmethod
    def _known_source(cls, code: str | None) -> str | None:
        return None if code is None else canonical(code)

    @model_validator(mode="after")
    def _targets(self) -> TranslateRecipe:
        if not self.languages:
            raise ValueError("there is no language to translate into: name them (--to hu,th, or languages=[hu, th]).")
        if self.source in self.languages:
            raise ValueError(f"{self.source} is the language of the texts, nothing to translate into.")
        return self
