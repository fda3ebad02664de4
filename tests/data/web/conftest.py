from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bad_server import Web, serving

from mella_retrieval.data.web import addresses
from mella_retrieval.data.web.options import FetchOptions


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server, under 127.0.0.1 and under every name that ends in `.example`."""
    monkeypatch.setattr(addresses, "ask_dns", lambda host: ["127.0.0.1"])
    with serving(Web()) as web:
        yield web


@pytest.fixture
def hurried() -> Callable[..., FetchOptions]:
    """Options of somebody who tries again at once, and may ask this machine."""

    def options(**changed: Any) -> FetchOptions:
        usual = {"per_host": 0, "timeout": 2, "deadline": 4, "pause": 0, "attempts": 2, "threads": 4}
        return FetchOptions(**{**usual, "allow_private": True, "robots": False, **changed})

    return options
