"""Class names and prompt templates in several languages: recipes in `benchmarks/classes/`, or a user's own file.

    name: pets
    source: who wrote the names, and who has read them
    templates:
      en: ["{}", "photo: {}"]
      hu: ["{}", "fénykép: {}"]
    names:
      cat: {en: cat, hu: macska}
      dog: {en: [dog, hound], hu: kutya}

The keys of `names` are the classes as the records' column `label` has them. Every name stands in every template of its language.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, field_validator, model_validator

from mella_retrieval import languages
from mella_retrieval.errors import ConfigError, MellaError
from mella_retrieval.recipes import Strict, build_config, read_yaml, recipe_root, suggest


class Prompt(NamedTuple):
    """One text that stands for a class; `number` is the class's place in `Classes.labels`."""

    text_id: str
    text: str
    number: int


class Classes(Strict):
    """What the classes of a test set are called.

    Attributes:
        name: short name, the file's name.
        source: where names and templates come from, and who has read them.
        templates: by language, each with one `{}` for the name.
        names: by class and language, one name or several.
    """

    name: str
    source: str
    templates: dict[str, tuple[str, ...]] = Field(min_length=1)
    names: dict[str, dict[str, tuple[str, ...]]] = Field(min_length=2)

    @field_validator("templates", mode="before")
    @classmethod
    def _one_template(cls, value: Any) -> Any:
        return {_code(code): _several(texts) for code, texts in value.items()} if isinstance(value, dict) else value

    @field_validator("names", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not all(isinstance(names, dict) for names in value.values()):
            return value
        return {label: {_code(code): _several(texts) for code, texts in names.items()} for label, names in value.items()}

    @model_validator(mode="after")
    def _complete(self) -> Classes:
        if not all(label.strip() for label in self.names):
            raise ValueError("a class has no key")
        for code, templates in self.templates.items():
            _check_templates(code, templates)
        for label, names in self.names.items():
            for what, codes in (("no name", set(self.templates) - set(names)), ("no template", set(names) - set(self.templates))):
                if codes:
                    raise ValueError(f"{label}: {what} in {', '.join(sorted(codes))}")
        for code in self.templates:
            self._check_names(code)
        return self

    def _check_names(self, code: str) -> None:
        seen: dict[str, str] = {}
        for label, names in self.names.items():
            if not names[code] or not all(name.strip() for name in names[code]):
                raise ValueError(f"{label}: an empty name in {code}")
            for name in names[code]:
                if name in seen:
                    raise ValueError(
                        f"{name!r} in {code} is both {seen[name]} and {label}: no picture can be told to be one of them"
                    )
                seen[name] = label

    @property
    def languages(self) -> tuple[str, ...]:
        """Canonical codes, in the order of the file."""
        return tuple(self.templates)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, as the records' column `label` has them."""
        return tuple(self.names)

    def prompts(self, language: str) -> list[Prompt]:
        """Every name of every class in every template of a language, class by class."""
        found = []
        for number, (label, names) in enumerate(self.names.items()):
            texts = [template.replace("{}", name) for name in names[language] for template in self.templates[language]]
            found += [Prompt(f"{label}#{language}#{place}", text, number) for place, text in enumerate(texts)]
        return found


def load_classes(name: str) -> Classes:
    """The classes of that name (`cifar10`), or of a file (`my/pets.yaml`).

    Raises:
        ConfigError: no such file or name (the nearest is suggested), or it is not complete.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        known = {found.stem: found for found in sorted((recipe_root() / "benchmarks" / "classes").glob("*.yaml"))}
        if name not in known:
            listed = ", ".join(known)
            raise ConfigError(
                f"there are no class names {name!r}.{suggest(name, known)} Known: {listed}, or the path of a .yaml file."
            )
        path = known[name]
    elif not path.is_file():
        raise ConfigError(f"there is no file of class names {path}.")
    return build_config(Classes, read_yaml(path), str(path))


def _several(texts: Any) -> Any:
    return (texts,) if isinstance(texts, str) else texts


def _code(code: Any) -> str:
    try:
        return languages.normalise(str(code))
    except MellaError as error:
        raise ValueError(str(error)) from None


def _check_templates(code: str, templates: tuple[str, ...]) -> None:
    if not templates or len(set(templates)) != len(templates):
        raise ValueError(f"{code}: templates are missing or repeated")
    for template in templates:
        if template.count("{}") != 1 or template.count("{") != 1 or template.count("}") != 1:
            raise ValueError(f"{code}: the template {template!r} must have one {{}} for the name")
