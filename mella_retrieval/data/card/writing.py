"""Writes a record set's cards beside its parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mella_retrieval.artifacts import atomic_write, write_json
from mella_retrieval.data.card.croissant import describe_for_programs
from mella_retrieval.data.card.elements import unfilled
from mella_retrieval.data.card.facts import gather
from mella_retrieval.data.card.markdown import write_markdown
from mella_retrieval.data.card.options import CardOptions
from mella_retrieval.data.records import Records
from mella_retrieval.data.writing import Progress
from mella_retrieval.errors import ArtifactError

README, CROISSANT = "README.md", "croissant.json"


@dataclass(frozen=True)
class Card:
    """What was written: the two files, and what the card for people leaves to be filled in."""

    readme: Path
    croissant: Path
    unfilled: list[str]


def write_card(
    records: Records,
    options: CardOptions | None = None,
    out: Path | str | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Card:
    """Write `README.md` (with the hub's metadata) and `croissant.json`.

    Args:
        records: the set.
        options: what only a person can say.
        out: another folder; both refer to the parts by names relative to the records folder, and work only there.
        overwrite: replace a card that is there, with what was filled in by hand.
        progress: called with (records read, records).

    Raises:
        ArtifactError: a card is there already, or it cannot be written.
    """
    options = options or CardOptions()
    folder = Path(out) if out is not None else records.folder
    readme, croissant = folder / README, folder / CROISSANT
    for path in (readme, croissant):
        if path.exists() and not overwrite:
            raise ArtifactError(f"{path} already exists, perhaps with what a person wrote; --overwrite replaces it.")
    facts = gather(records, progress)
    text = write_markdown(facts, options)
    with atomic_write(readme) as file:
        file.write(text.encode())
    write_json(croissant, describe_for_programs(facts, options))
    return Card(readme, croissant, unfilled(text))
