"""The metadata head of a dataset's README.md, as the Hugging Face hub and `datasets.load_dataset` read it."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import yaml

from mella_retrieval import languages
from mella_retrieval.artifacts import Json
from mella_retrieval.data.card.facts import Facts
from mella_retrieval.data.card.licences import hub_licence
from mella_retrieval.data.card.options import CardOptions
from mella_retrieval.data.stats import SPLIT

DEFAULT = "default"
WHOLE = "records"
"""Split of the configuration that loads everything, where the records are of several splits."""

_PARTS = "part-*.parquet"
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
_NAME = re.compile(r"\w+(?:\.\w+)*")


def write_head(facts: Facts, options: CardOptions) -> str:
    """The head between its `---` lines."""
    codes = [languages.get(code) for code in facts.stats["by_language"]]
    plain = list(dict.fromkeys(code.iso639_1 or code.iso639_3 for code in codes))
    with_script = [language.code for language in codes if "-" in language.code]
    content: dict[str, Any] = {
        "pretty_name": options.name or facts.records.folder.resolve().name,
        "language": plain,
        **({"language_bcp47": with_script} if with_script else {}),
        **hub_licence(options.licence),
        "multilinguality": ["multilingual" if len(plain) > 1 else "monolingual"],
        "size_categories": [size_category(facts.stats["records"])],
        **({"task_categories": ["image-to-text"]} if facts.stats["images"] else {}),
        "tags": ["image-text-retrieval", "cross-lingual", "mella-retrieval"] if facts.stats["images"] else ["mella-retrieval"],
        "configs": configurations(facts),
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{text}---\n"


def configurations(facts: Facts) -> list[Json]:
    """What `load_dataset(FOLDER)` and `load_dataset(FOLDER, "train")` load.

    Parts hold records of all splits together, so that a split is a configuration of its own with a filter. A split whose name
    `datasets` does not accept has none.
    """
    splits = facts.splits
    if len(splits) <= 1:
        name = next(iter(splits), "")
        return [_configuration(DEFAULT, name if loadable(name) else "train")]
    text = facts.records.schema.field(SPLIT).type == pa.string()
    own = [name for name in splits if text and loadable(name)]
    filtered = [{**_configuration(name, name), "filters": [[SPLIT, "==", name]]} for name in own]
    return [_configuration(DEFAULT, WHOLE), *filtered]


def loadable(split: str) -> bool:
    """Whether `datasets` accepts the name of a split, and it is not taken."""
    return bool(_NAME.fullmatch(split)) and split not in ("all", DEFAULT, WHOLE)


def size_category(records: int) -> str:
    """The hub's class of size."""
    if records < 1000:
        return f"n<{_SIZES[0]}"
    step = min((len(str(records)) - 4), len(_SIZES) - 1)
    return f"n>{_SIZES[-1]}" if step == len(_SIZES) - 1 else f"{_SIZES[step]}<n<{_SIZES[step + 1]}"


def _configuration(name: str, split: str) -> Json:
    return {"config_name": name, "data_files": [{"split": split, "path": _PARTS}]}
