"""The filters of `know` by their names in recipes. Each is one small step: parameters, one question, a reason."""

from __future__ import annotations

from typing import Any

from mella_retrieval.data.collect.filters.boilerplate import Boilerplate
from mella_retrieval.data.collect.filters.duplicates import DuplicateImage, DuplicateText
from mella_retrieval.data.collect.filters.encoding import Encoding
from mella_retrieval.data.collect.filters.file_name import FileName
from mella_retrieval.data.collect.filters.icon import Icon
from mella_retrieval.data.collect.filters.language import Language
from mella_retrieval.data.collect.filters.length import Length
from mella_retrieval.data.collect.filters.markup import Markup
from mella_retrieval.data.collect.filters.personal import Personal
from mella_retrieval.data.collect.filters.pictures import Aspect, ImageBroken, ImageSize
from mella_retrieval.data.collect.filters.repeated import Repeated
from mella_retrieval.data.collect.filters.step import Filter
from mella_retrieval.data.collect.filters.words import Words

FILTERS: dict[str, type[Filter[Any]]] = {
    "length": Length,
    "file-name": FileName,
    "boilerplate": Boilerplate,
    "repeated": Repeated,
    "markup": Markup,
    "encoding": Encoding,
    "language": Language,
    "personal": Personal,
    "words": Words,
    "icon": Icon,
    "image-broken": ImageBroken,
    "image-size": ImageSize,
    "aspect": Aspect,
    "duplicate-image": DuplicateImage,
    "duplicate-text": DuplicateText,
}
"""Name -> filter."""
