"""The card for people: README.md, with the hub's metadata as its head."""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml

from mella_retrieval.artifacts import Json
from mella_retrieval.data.card.columns import describe_columns
from mella_retrieval.data.card.elements import escaped, fenced, table, to_fill_in
from mella_retrieval.data.card.facts import CATEGORY, Facts
from mella_retrieval.data.card.head import WHOLE, configurations, write_head
from mella_retrieval.data.card.limits import known_limits, personal_data
from mella_retrieval.data.card.options import CardOptions
from mella_retrieval.data.statistics.cells import HEAD, cells

SOURCES = {
    "know": "texts that stood with the picture where it was published, in the language of the page",
    "ling": "descriptions of the picture by a model, or their translations",
}
"""What the sources mean by MELLA's definition."""

_LISTED, _LONG = 30, 100


def write_markdown(facts: Facts, options: CardOptions) -> str:
    """The whole README.md. What nobody told is marked `[to be filled in: ...]`; nothing is guessed."""
    sections = [
        ("", _what(facts, options)),
        ("Languages", _languages(facts)),
        ("Sources", _groups("source", facts.stats["by_source"], SOURCES)),
        ("Splits", _groups("split", facts.stats.get("by_split", {}))),
        ("Categories", _groups("category", facts.stats["by"].get(CATEGORY, {}))),
        ("Columns", describe_columns(facts)),
        ("How to load", _how_to_load(facts)),
        ("How it was made", _how_it_was_made(facts)),
        ("Pictures", _pictures(facts)),
        ("Licence", _licence(facts, options)),
        ("Personal data", [" ".join(map(escaped, personal_data(facts)))]),
        ("Known limits", [f"- {escaped(limit)}" for limit in known_limits(facts)]),
        ("Citation", fenced(options.citation.strip(), "") if options.citation else [to_fill_in("how to cite this data")]),
        ("Contact", [escaped(options.contact) if options.contact else to_fill_in("whom to write to about this data")]),
    ]
    name = options.name or facts.records.folder.resolve().name
    lines = [write_head(facts, options), f"# {escaped(name)}", ""]
    for title, body in sections:
        if body:
            lines += ([f"## {title}", ""] if title else []) + [*body, ""]
    return "\n".join(lines)


def _what(facts: Facts, options: CardOptions) -> list[str]:
    address = [f"Published at <{options.url}>" + (f" on {options.published}." if options.published else "."), ""]
    return [
        escaped(options.description) if options.description else to_fill_in("what this data is for, in a sentence or two"),
        "",
        facts.summary,
        "",
        *(address if options.url else []),
        f"The records' fingerprint is `{facts.records.fingerprint}`"
        + (f", version {options.version}." if options.version else "."),
    ]


def _languages(facts: Facts) -> list[str]:
    rows = [
        [
            f"`{code}`",
            entry["name"],
            *cells(entry),
            ", ".join(f"{script} {share:.1%}" for script, share in list(entry["scripts"].items())[:3]) or "no letters",
        ]
        for code, entry in facts.stats["by_language"].items()
    ]
    head = ["code", "language", *HEAD, "script of the letters"]
    note = "Different pictures and texts; lengths are medians. Words are counted where they are written with spaces between them."
    return [*table(head, rows, right=range(2, 8)), "", note] if rows else ["There are no texts."]


def _groups(column: str, groups: Mapping[str, Json], meanings: Mapping[str, str] | None = None) -> list[str]:
    """A table of groups; nothing where all records are of one group without a name."""
    if not groups or list(groups) == [""]:
        return [] if column != "source" else ["The records do not say where they come from."]
    shown = sorted(groups.items(), key=lambda item: (-item[1]["records"], item[0]))[:_LISTED]
    rows = [[escaped(name, _LONG) or "(not said)", *cells(entry)] for name, entry in shown]
    lines = table([column, *HEAD], rows, right=range(1, 7))
    if len(groups) > _LISTED:
        lines += ["", f"{len(groups) - _LISTED:,} more are not listed."]
    known = [f"- `{name}`: {meaning}." for name, meaning in (meanings or {}).items() if name in groups]
    return [*lines, *(["", "In the sense of MELLA (arXiv 2508.05502):", "", *known] if known else [])]


def _how_to_load(facts: Facts) -> list[str]:
    own = [config["config_name"] for config in configurations(facts)[1:]]
    folder = json.dumps(facts.records.folder.resolve().name, ensure_ascii=False)
    lines = [
        "from datasets import load_dataset",
        f"load_dataset({folder})  # this folder, or its name on the hub",
        *(f'load_dataset({folder}, "{name}", split="{name}")' for name in own),
        "",
        "from mella_retrieval.data.records import Records",
        f"Records.load({folder}).table()",
    ]
    whole = f"Without the name of a split all records are loaded, as split `{WHOLE}`; the column `split` tells them apart."
    return [
        *fenced("\n".join(lines), "python"),
        "",
        *([whole, ""] if own else []),
        "`croissant.json` describes the same files for programs; `mella data check` compares them with the manifest.",
    ]


def _how_it_was_made(facts: Facts) -> list[str]:
    made_by = {key: value for key, value in facts.made_by.items() if key != "report"}
    if not made_by:
        made = ["How the records were made is not recorded. " + to_fill_in("where the texts and pictures come from")]
    else:
        text = yaml.safe_dump(made_by, sort_keys=False, allow_unicode=True, width=110).rstrip()
        made = ["From the manifest:", "", *fenced(text, "yaml")]
    notes = [f"- {escaped(note)}" for note in facts.outcome["notes"]]
    return [*made, "", *_removed(facts), *(["", *notes] if notes else [])]


def _removed(facts: Facts) -> list[str]:
    """How many candidates there were, and what removed the others."""
    collected, read = facts.collected, facts.outcome["read"]
    if collected is not None:
        begin = f"{collected.pages:,} pages had {collected.candidates:,} candidates (texts of pictures)"
    else:
        begin = f"{read:,} candidates were read" if read is not None else "How many candidates were read is not recorded"
    removed = facts.removed
    lines = [f"{begin}, {facts.stats['records']:,} records kept, {sum(removed.values()):,} rejected."]
    if removed:
        looked_at = {count.name: f"{count.looked_at:,}" for count in collected.filters} if collected else {}
        ordered = list(removed) if collected else sorted(removed, key=lambda reason: (-removed[reason], reason))
        head = ["rejected for", "candidates", *(["looked at"] if collected else [])]
        rows = [
            [escaped(reason, _LONG), f"{removed[reason]:,}", *([looked_at.get(reason, "")] if collected else [])]
            for reason in ordered
        ]
        lines += ["", *table(head, rows, right=(1, 2))]
    if facts.outcome["rejected"]:
        lines += ["", "What was rejected in writing is listed with its place in `skipped.csv`."]
    return lines


def _pictures(facts: Facts) -> list[str]:
    found = facts.pictures
    suffixes = ", ".join(f"{count:,} {escaped(suffix) or 'without an ending'}" for suffix, count in found.suffixes.most_common())
    lines = []
    if found.inside:
        lines.append(f"- {found.inside:,} picture files lie in this folder ({suffixes}).")
    if found.urls:
        lines.append(f"- {found.urls:,} pictures are URLs. They are not part of this folder.")
    if found.outside:
        lines.append(f"- {found.outside:,} pictures are files outside this folder. They are not part of it.")
    return lines or ["There are no pictures."]


def _licence(facts: Facts, options: CardOptions) -> list[str]:
    lines = [f"Of the set as a whole: {escaped(options.licence)}." if options.licence else to_fill_in("the licence of the set")]
    if not facts.licence_column:
        return [*lines, "", "The records do not say under which licence a text or picture was published: it is unknown."]
    groups = facts.stats["by"][facts.licence_column]
    shown = sorted(groups.items(), key=lambda item: (-item[1]["records"], item[0]))[:_LISTED]
    rows = [[escaped(name, _LONG) or "(none seen)", f"{entry['records']:,}"] for name, entry in shown]
    note = f"What the column `{facts.licence_column}` holds; hints seen with the pictures, which nobody has confirmed:"
    more = ["", f"{len(groups) - _LISTED:,} more are not listed."] if len(groups) > _LISTED else []
    return [*lines, "", note, "", *table(["licence", "records"], rows, right=(1,)), *more]
