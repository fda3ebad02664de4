"""Tasks: a test set with the protocols it is measured by, as a recipe in `benchmarks/`, checked when it is loaded.

What could not be seen when a recipe was written is `unverified`. A test set that has other counts than its task says is
another test set: loading it is an error that gives both numbers, because a gallery that shrank raises every recall.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mella_retrieval import languages
from mella_retrieval.benchmarks.protocols import get_protocol
from mella_retrieval.errors import DataError, MellaError
from mella_retrieval.recipes import Strict, list_recipes, load_recipe

Unverified = Literal["unverified"]
UNVERIFIED: Unverified = "unverified"


class Task(Strict):
    """A test set and how it is measured.

    Attributes:
        name: short name, the recipe's file name.
        title: name for people.
        source: where it comes from: an address, or what makes it.
        licence: of images and captions.
        protocols: names of protocols; the first is the headline.
        languages: canonical codes, in the order they are shown.
        where: columns of the records that single out the test split, such as `{split: test}`.
        revision: revision of the data, or `unverified`.
        checksum: SHA-256 of the data, or `unverified`.
        images: size of the gallery, or `unverified`.
        captions: captions per language before any protocol, or `unverified`.
        groups: named groups of languages that get a mean of their own.
        published: name of the published rows in `benchmarks/published/`, or none.
        notes: what a reader of a result must know, such as leaks.
    """

    name: str
    title: str
    source: str
    licence: str
    protocols: tuple[str, ...] = Field(min_length=1)
    languages: tuple[str, ...] = Field(min_length=1)
    where: dict[str, str | list[str]] = Field(default_factory=dict)
    revision: str = UNVERIFIED
    checksum: str = UNVERIFIED
    images: int | Unverified = UNVERIFIED
    captions: dict[str, int] | Unverified = UNVERIFIED
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    published: str | None = None
    notes: tuple[str, ...] = ()

    @field_validator("protocols")
    @classmethod
    def _known_protocols(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(get_protocol(name).name for name in value)
        except MellaError as error:
            raise ValueError(str(error)) from None

    @field_validator("languages")
    @classmethod
    def _canonical_languages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            codes = tuple(languages.normalise(code) for code in value)
        except MellaError as error:
            raise ValueError(str(error)) from None
        if len(set(codes)) != len(codes):
            raise ValueError("a language stands twice")
        return codes

    @model_validator(mode="after")
    def _belong_together(self) -> Task:
        mentioned: dict[str, Iterable[str]] = {f"groups.{name}": group for name, group in self.groups.items()}
        if not isinstance(self.captions, str):
            mentioned["captions"] = self.captions
        for where, codes in mentioned.items():
            if strange := sorted(set(codes) - set(self.languages)):
                raise ValueError(f"{where} names {', '.join(strange)}, not among the task's languages")
        if clash := {"mean", *self.languages} & set(self.groups):
            raise ValueError(f"a group cannot be called {', '.join(sorted(clash))}")
        return self

    def check(self, images: int, captions: Mapping[str, int], languages: Iterable[str] | None = None) -> None:
        """Compare a loaded test set with the expected counts.

        Args:
            images: images in the gallery.
            captions: captions per language.
            languages: the languages that are measured; by default all of the task.

        Raises:
            DataError: a count differs (both numbers are given), or a language has no captions.
        """
        problems = []
        if isinstance(self.images, int) and images != self.images:
            problems.append(f"{images} images instead of {self.images}")
        for language in self.languages if languages is None else languages:
            found = captions.get(language, 0)
            expected = None if isinstance(self.captions, str) else self.captions.get(language)
            if expected is not None and found != expected:
                problems.append(f"{found} captions in {language} instead of {expected}")
            elif not found:
                problems.append(f"no captions in {language}")
        if problems:
            raise DataError(
                f"this is not the test set of the task {self.name!r}: {'; '.join(problems)}. A smaller gallery raises "
                "every recall: import it again from the source, and see skipped.csv for what was left out."
            )


def load_task(name: str, overrides: Iterable[str] = ()) -> Task:
    """The task of that name or recipe file, with `key=value` overrides.

    Raises:
        ConfigError: no such recipe, or it is not valid.
    """
    return load_recipe(Task, "benchmarks", name, overrides)


def list_tasks() -> list[Task]:
    """The tasks that come with the package, by name."""
    return [load_task(path.stem) for path in list_recipes()["benchmarks"]]
