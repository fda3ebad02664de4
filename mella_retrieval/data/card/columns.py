"""What the columns of a record set hold."""

from __future__ import annotations

import pyarrow as pa

from mella_retrieval.data.card.elements import escaped, table
from mella_retrieval.data.card.facts import Facts

MEANINGS = {
    "image_id": "name of the picture; texts of one picture share it",
    "image": "file of the picture (a path from the manifest's image_root) or its URL; empty where there is none",
    "text": "the text; empty where a picture stands alone",
    "lang": "language of the text, a BCP-47 code",
    "source": "where the text comes from",
    "text_id": "unique name of the text",
    "split": "the split that the record belongs to",
    "part_of": "the text_id of the text of which this one is a part",
    "image_url": "address of the picture on the web",
    "image_sha256": "SHA-256 of the picture's file",
    "page_url": "address of the page that showed the picture",
    "page_title": "title of that page",
    "site": "host of that page",
    "date": "date of that page, as its source tells it",
    "provenance": "where on the page the text stood (alt, title, figcaption, opengraph, json-ld); several are joined by |",
    "image_hash": "perceptual hash of the picture, hexadecimal",
    "width": "width of the picture in pixels",
    "height": "height of the picture in pixels",
    "language_probability": "probability of the language, as the collection measured it",
    "language_found": "the likeliest language of the text, as the collection measured it",
    "view": "number of the description, where a picture has several",
    "source_text_id": "the text_id of the text of which this one is a translation",
    "english_id": "the text_id of the English text of which this one is a translation",
    "captioner": "model that described the picture",
    "translator": "model that translated the text",
    "category": "category of the picture; several are joined by |",
    "licence": "hints at the licence, as found with the picture",
}

_KINDS = {pa.string(): "text", pa.int64(): "whole number", pa.float64(): "number", pa.bool_(): "yes or no"}


def meaning(column: str) -> str:
    """What a column holds; further columns carry no description."""
    return MEANINGS.get(column, "a further column, which the records do not describe")


def describe_columns(facts: Facts) -> list[str]:
    """A table of the columns."""
    rows = [
        [escaped(field.name), _KINDS.get(field.type, escaped(field.type)), meaning(field.name).replace("|", "\\|")]
        for field in facts.records.schema
    ]
    return table(["column", "kind", "meaning"], rows)
