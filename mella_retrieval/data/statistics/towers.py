"""How a text tower reads the texts of a record set: what it cuts, and what its tokenizer makes of each language."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mella_retrieval.artifacts import Json
from mella_retrieval.data.near.shingles import digests
from mella_retrieval.data.records import Records, Where
from mella_retrieval.data.statistics.groups import spread
from mella_retrieval.data.writing import Progress
from mella_retrieval.encoders.legibility import TokenStatistics, token_statistics
from mella_retrieval.encoders.towers import NO_LIMIT, TextTower
from mella_retrieval.errors import EncoderError


@dataclass
class _Language:
    tokens: array[int] = field(default_factory=lambda: array("q"))
    empty: int = 0
    read: TokenStatistics | None = field(default_factory=lambda: TokenStatistics(0, 0, 0, 0, 0))


def describe_tower(
    records: Records,
    tower: TextTower,
    where: Where | None = None,
    *,
    sample: int | None = None,
    progress: Progress | None = None,
) -> Json:
    """Count the tokens of texts.

    Args:
        records: the record set.
        tower: the text tower.
        where: column -> value or values.
        sample: read about so many texts of each language, chosen by a hash of their text_id; None: all.
        progress: called with (texts looked at, texts).

    Returns:
        `spec`, `max_tokens` (None: no limit), `texts` (read), `of` (how many there are), `truncated`, `share` (of the texts read
        that are cut), and `by_language`: code -> the same counts with `tokens` (min, median, mean, p95, max; special tokens and
        prefix included), `empty` (texts of which the tower's preparation leaves nothing), `tokens_per_word`, `unknown_share`,
        `words`, `letters` (see `legibility.TokenStatistics`). None stands for what the tower does not tell.
    """
    found: dict[str, _Language] = defaultdict(_Language)
    there = _texts_of_each_language(records, where)
    done = 0
    for batch in records.batches(columns=["lang", "text", "text_id"], where=where):
        for code in filter(None, pc.unique(batch["lang"]).to_pylist()):
            own = batch.filter(pc.equal(batch["lang"], code))
            done += own.num_rows
            share = 1.0 if sample is None else min(sample / there[code], 1.0)
            _count(found[code], tower, code, _chosen(own, share))
            if progress is not None:
                progress(done, sum(there.values()))
    by_language = {code: {"of": there[code], **_described(found[code], tower)} for code in sorted(found)}
    return {
        "spec": tower.info.spec,
        "max_tokens": None if tower.max_tokens == NO_LIMIT else tower.max_tokens,
        "of": sum(there.values()),
        **_cut([count for language in found.values() for count in language.tokens], tower),
        "by_language": by_language,
    }


def _texts_of_each_language(records: Records, where: Where | None) -> dict[str, int]:
    counted = records.table(["lang"], where)["lang"].value_counts().to_pylist()
    return {entry["values"]: entry["counts"] for entry in counted if entry["values"]}


def _chosen(batch: pa.RecordBatch, share: float) -> list[str]:
    """The texts whose hash falls into a share of all hashes: a random sample that does not depend on the order of the rows."""
    texts: list[str] = batch["text"].to_pylist()
    if share >= 1:
        return texts
    keep = digests(batch["text_id"].to_pylist()) < np.uint64(share * 2**64)
    return [text for text, kept in zip(texts, keep.tolist(), strict=True) if kept]


def _count(language: _Language, tower: TextTower, code: str, texts: list[str]) -> None:
    language.tokens.extend(tower.count_tokens(texts))
    language.empty += sum(not tower.prepare(text, code).strip() for text in texts)
    if language.read is None:
        return
    try:
        more = token_statistics(tower, texts)
    except EncoderError:  # it does not show its tokens
        language.read = None
        return
    language.read = TokenStatistics(*(a + b for a, b in zip(astuple(language.read), astuple(more), strict=True)))


def _described(language: _Language, tower: TextTower) -> Json:
    read = language.read
    told = any(language.tokens)
    return {
        **_cut(language.tokens, tower),
        "tokens": spread(np.array(language.tokens, dtype=np.int64)) if told else None,
        "empty": language.empty,
        "tokens_per_word": round(read.tokens_per_word, 3) if read and read.words else None,
        "unknown_share": round(read.unknown_share, 5) if read and read.tokens else None,
        "words": read.words if read else None,
        "letters": read.letters if read else None,
    }


def _cut(tokens: Sequence[int], tower: TextTower) -> Json:
    """Texts and how many of them are cut; a tower that counts no tokens of any text does not tell."""
    cut = sum(count > tower.max_tokens for count in tokens)
    told = tower.max_tokens == NO_LIMIT or any(tokens)
    return {
        "texts": len(tokens),
        "truncated": cut if told else None,
        "share": round(cut / len(tokens), 5) if told and tokens else None,
    }
