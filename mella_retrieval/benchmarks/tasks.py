"""Tasks: a test set with the protocols it is measured by, as a recipe in `benchmarks/`, checked when it is loaded.

What could not be seen when a recipe was written is `unverified`. A test set that has other counts than its task says is
another test set: loading it is an error that gives both numbers, because a gallery that shrank raises every recall.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from mella_retrieval import languages
from mella_retrieval.benchmarks.protocols import get_protocol
from mella_retrieval.errors import DataError, MellaError
from mella_retrieval.recipes import Strict, list_recipes, load_recipe

Unverified = Literal["unverified"]
UNVERIFIED: Unverified = "unverified"
ZERO_SHOT = "zero-shot"
"""The protocol of classification: pictures asked with class names."""


Count = Annotated[int, Field(strict=True, ge=1)]


class SourceFile(Strict):
    """A file of a test set that a program may download: from an address, or from a data set repository on a hub.

    Attributes:
        path: where it lies in the folder of the test set, `/` between the parts.
        what: what it holds, in a word or two ("captions", "pictures").
        url: its address; or, instead,
        hub: `OWNER/NAME` of a data set repository on the hub, with
        file: the path in that repository and
        revision: a commit of it, or `unverified`.
        sha256: of its content, or `unverified`.
        bytes: its size, or `unverified`.
        unpack: whether it is an archive whose content belongs into the folder of `path`.
    """

    path: str
    what: str
    url: str | None = None
    hub: str | None = None
    file: str | None = None
    revision: str = UNVERIFIED
    sha256: str = UNVERIFIED
    bytes: int | Unverified = UNVERIFIED
    unpack: bool = False

    @model_validator(mode="after")
    def _one_origin(self) -> SourceFile:
        if (self.url is None) == (self.hub is None) or (self.hub is None) != (self.file is None):
            raise ValueError("a file comes from a url, or from a hub with the file's name there")
        pure = PurePosixPath(self.path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise ValueError(f"the path {self.path!r} leads out of the folder of the test set")
        return self


class Task(Strict):
    """A test set and how it is measured.

    Attributes:
        name: short name, the recipe's file name.
        title: name for people.
        source: where it comes from: an address, or what makes it.
        licence: of images and captions.
        protocols: names of protocols; the first is the headline.
        languages: canonical codes, in the order they are shown.
        kind: retrieval, or classification of pictures by class names in these languages.
        classes: of a classification, the names of its classes: a file of `benchmarks/classes/` by name, or a path.
        format: the reader of the original files (`mella data import --format`).
        options: of that reader.
        files: what can be downloaded.
        by_hand: what a person has to get, from where, and where to put it, one sentence each.
        breakdown: columns of the records, such as `source` or `category`, whose values get scores of their own; `source+category`
            takes each combination of two.
        where: columns of the records that single out the test split, such as `{split: test}`.
        revision: revision of the data, or `unverified`.
        checksum: SHA-256 of the data, or `unverified`.
        gallery: `shared` by all languages, or `own`: each language is ranked among the pictures that have captions in it.
        images: size of the gallery, of all languages together, or `unverified`.
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
    kind: Literal["retrieval", "classification"] = "retrieval"
    classes: str | None = None
    format: str = "auto"
    options: dict[str, Any] = Field(default_factory=dict)
    files: tuple[SourceFile, ...] = ()
    by_hand: tuple[str, ...] = ()
    breakdown: tuple[str, ...] = ()
    where: dict[str, str | list[str]] = Field(default_factory=dict)
    revision: str = UNVERIFIED
    checksum: str = UNVERIFIED
    gallery: Literal["shared", "own"] = "shared"
    images: Count | Unverified = UNVERIFIED
    captions: dict[str, Count] | Unverified = UNVERIFIED
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    published: str | None = None
    notes: tuple[str, ...] = ()

    @field_validator("protocols")
    @classmethod
    def _known_protocols(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            found = tuple(name if name == ZERO_SHOT else get_protocol(name).name for name in value)
        except MellaError as error:
            raise ValueError(str(error)) from None
        if len(set(found)) != len(found):
            raise ValueError("a protocol stands twice")
        return found

    @field_validator("languages")
    @classmethod
    def _canonical_languages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _codes(value)

    @field_validator("groups")
    @classmethod
    def _canonical_groups(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if empty := [name for name, group in value.items() if not group]:
            raise ValueError(f"the group {empty[0]!r} is empty")
        return {name: _codes(group) for name, group in value.items()}

    @field_validator("captions")
    @classmethod
    def _canonical_captions(cls, value: dict[str, int] | Unverified) -> dict[str, int] | Unverified:
        return value if isinstance(value, str) else dict(zip(_codes(tuple(value)), value.values(), strict=True))

    @model_validator(mode="after")
    def _classes_and_protocol(self) -> Task:
        if self.kind == "classification":
            if not self.classes or self.protocols != (ZERO_SHOT,):
                raise ValueError(f"a classification needs `classes` and `protocols: [{ZERO_SHOT}]`")
        elif self.classes or ZERO_SHOT in self.protocols:
            raise ValueError(f"`classes` and the protocol {ZERO_SHOT} belong to `kind: classification`")
        return self

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
            more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
            raise DataError(
                f"this is not the test set of the task {self.name!r}{_filtered(self.where)}: {'; '.join(problems[:4])}{more}. A "
                "smaller gallery raises every recall: import it again from the source; skipped.csv says what was left out. "
                "A test set of your own is `mella benchmark FOLDER`, or a recipe with its own counts."
            )


def _filtered(where: Mapping[str, str | list[str]]) -> str:
    parts = [f"{name}={'|'.join([value] if isinstance(value, str) else value)}" for name, value in where.items()]
    return f" (rows with {', '.join(parts)})" if parts else ""


def _codes(value: tuple[str, ...]) -> tuple[str, ...]:
    """Canonical codes of languages, each once."""
    try:
        codes = tuple(languages.normalise(code) for code in value)
    except MellaError as error:
        raise ValueError(str(error)) from None
    if len(set(codes)) != len(codes):
        raise ValueError("a language stands twice")
    return codes


def load_task(name: str, overrides: Iterable[str] = ()) -> Task:
    """The task of that name or recipe file, with `key=value` overrides.

    Raises:
        ConfigError: no such recipe, or it is not valid.
    """
    return load_recipe(Task, "benchmarks", name, overrides)


def list_tasks() -> list[Task]:
    """The tasks that come with the package, by name."""
    return [load_task(path.stem) for path in list_recipes()["benchmarks"]]
