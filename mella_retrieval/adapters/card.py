"""The generated card (`README.md`) of an adapter folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mella_retrieval.adapters.naming import hub_name

if TYPE_CHECKING:
    from mella_retrieval.adapters.adapter import Adapter


@dataclass(frozen=True)
class Measured:
    """A language and direction of a result, as a card shows it.

    Attributes:
        language: its code, or the name of a group.
        direction: `text -> image` or `image -> text`.
        values, chance: metric -> fraction of 1; None where there is no number.
    """

    language: str
    direction: str
    values: dict[str, float | None]
    chance: dict[str, float | None]


@dataclass(frozen=True)
class Measurement:
    """A benchmark's result for a card.

    Attributes:
        title: what was asked: task, protocol, size of the gallery.
        rows: the numbers, all with the same metrics.
    """

    title: str
    rows: Sequence[Measured]


@dataclass(frozen=True)
class Publication:
    """What a card on a hub says beyond the card of a folder.

    Attributes:
        name: `owner/name` on the hub.
        license: of the adapter, as the hub's metadata has it (`apache-2.0`); "" leaves it out.
        datasets: names of the training data on the hub.
        measurements: results.
    """

    name: str
    license: str = ""
    datasets: Sequence[str] = ()
    measurements: Sequence[Measurement] = ()


def write_card(adapter: Adapter, publication: Publication | None = None) -> str:
    """Markdown with a metadata head: what the adapter joins, what it was fitted on and how to use it."""
    config = adapter.config
    control = ["", "**A control, not for use: its pairs were shuffled.**"] if config.inputs.get("shuffled_pairs") else []
    inputs = [f"| {name} | {value['rows']:,} |" for name, value in config.inputs.items() if isinstance(value, dict)]
    lines = [
        *_head(adapter, publication),
        f"# {config.method} adapter: {config.text_tower.spec} into {config.image_tower.spec}",
        *control,
        "",
        f"Text tower (frozen): `{config.text_tower.spec}`, {config.text_tower.dim} dimensions.  ",
        f"Image tower (frozen): `{config.image_tower.spec}`, {config.image_tower.dim} dimensions.  ",
        f"Method: `{config.method}`, {adapter.text_head.parameters + adapter.image_head.parameters:,} parameters. "
        + _image_side(adapter),
        "",
        "| fitted on | rows |",
        "|---|---|",
        *inputs,
        "",
        f"Selection on {config.selection.get('on', 'nothing')} ({config.selection.get('measure', 'no measure')}); details in "
        "`config.json`. The languages listed above are those of the texts it was fitted on.",
        "",
        *_how_to_load(publication),
        *(_published(adapter, publication) if publication else []),
    ]
    return "\n".join(lines)


def _head(adapter: Adapter, publication: Publication | None) -> list[str]:
    lines = [
        "---",
        "library_name: mella-retrieval",
        "tags: [image-text-retrieval, cross-lingual, adapter]",
        f"language: {json.dumps(adapter.config.languages)}",
    ]
    if publication is not None:
        towers = [hub_name(tower) for tower in (adapter.config.text_tower, adapter.config.image_tower)]
        if known := list(dict.fromkeys(name for name in towers if name)):
            lines.append(f"base_model: {json.dumps(known)}")
        if publication.license:
            lines.append(f"license: {json.dumps(publication.license)}")
        if publication.datasets:
            lines.append(f"datasets: {json.dumps(list(publication.datasets))}")
    return [*lines, "---"]


def _image_side(adapter: Adapter) -> str:
    if (slots := adapter.config.slots) is not None:
        return (
            f"Its slots enrich vectors of `{slots.image_tower.spec}` with descriptions before they are indexed "
            "(`mella embed enrich`)."
        )
    if adapter.projects_images:
        return "Image vectors are re-projected by the adapter (a matrix product over stored vectors, no re-encoding)."
    return "Image vectors stay as they are: an existing index of the image tower remains valid."


def _how_to_load(publication: Publication | None) -> list[str]:
    if publication is None:
        return [
            "```python",
            "from mella_retrieval import Retriever",
            'Retriever.load("index-built-with-this-adapter").search("...", k=10)',
            "```",
            "",
        ]
    return [
        "## How to load",
        "",
        "```python",
        "from mella_retrieval import Adapter",
        f'adapter = Adapter.load("{publication.name}")  # or "{publication.name}@revision"; the weights\' hash is checked',
        "adapter.map_text(vectors_of_the_text_tower)",
        "```",
        "",
        "Vectors of pictures that are there already, or a folder of a clip-retrieval index, answer in these languages:",
        "",
        "```sh",
        f"mella index build image-vectors photos --adapter {publication.name}",
        'mella search photos "..."',
        "```",
        "",
    ]


def _published(adapter: Adapter, publication: Publication) -> list[str]:
    lines = ["## Results", ""] if publication.measurements else ["No benchmark result was given with this adapter.", ""]
    for measurement in publication.measurements:
        lines += [measurement.title, "", *_table(measurement.rows), ""]
    config = adapter.config
    limit = config.text_tower.preparation.get("max_length")
    return [
        *lines,
        "## Limits",
        "",
        "- It belongs to the two towers above, known by the hash of their weights; vectors of others are refused.",
        f"- Fitted on texts in {', '.join(config.languages) or 'languages that its data did not name'}. Other languages that the "
        "text tower reads may work; only the numbers above, if any, are measured.",
        *([f"- The text tower reads {limit} tokens; what is behind them is cut."] if limit else []),
        "- What the towers learnt, their prejudices and gaps too, is still in their vectors; their licences apply to them.",
        "",
    ]


def _table(rows: Sequence[Measured]) -> list[str]:
    """Percentages with chance in brackets beside each."""
    metrics = list(rows[0].values) if rows else []
    lines = [
        f"| language | direction | {' | '.join(f'{metric} in % (chance)' for metric in metrics)} |",
        "|---|---|" + "---:|" * len(metrics),
    ]
    for row in rows:
        cells = [f"{_percent(row.values[metric])} ({_percent(row.chance.get(metric))})" for metric in metrics]
        lines.append(f"| {row.language} | {row.direction} | {' | '.join(cells)} |")
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
