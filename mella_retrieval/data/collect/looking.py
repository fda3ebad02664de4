"""Pictures for the filters: from the source, from the web, or from the shelf if somebody asked before."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from mella_retrieval.data.collect.addresses import is_data
from mella_retrieval.data.collect.filters.step import Picture
from mella_retrieval.data.collect.pages import Pictures
from mella_retrieval.data.collect.shelf import Shelf
from mella_retrieval.data.collect.url_list import WebPictures
from mella_retrieval.data.web.fetching import Failed, Fetcher, Result

_THREADS = 4


class Looking:
    """Asks for pictures, many at a time; each is asked for once in a job."""

    def __init__(self, shelf: Shelf, fetcher: Fetcher, *, web: bool) -> None:
        """Args: shelf: what is known; fetcher: of pictures; web: fetch also what a source lacks that has pictures of its own."""
        self._shelf, self._fetcher, self._web = shelf, fetcher, web

    def look(self, urls: Iterable[str], local: Pictures | None) -> dict[str, Picture]:
        """Address -> picture.

        Args:
            urls: in any order, repeated or not.
            local: pictures of the source; None if all are on the web.
        """
        found: dict[str, Picture] = {}
        unknown: list[str] = []
        for url in dict.fromkeys(urls):
            known = self._shelf.get(url)
            if known is None:
                unknown.append(url)
            else:
                found[url] = known
        embedded = [url for url in unknown if is_data(url)]
        found |= self._from(embedded, local or WebPictures(self._fetcher), final=True)
        rest = [url for url in unknown if url not in found]
        if local is not None:
            found |= self._from(rest, local, final=not self._web)
            rest = [url for url in rest if found[url].failure] if self._web else []
        return found | dict(self._fetcher.fetch_each(rest, self._keep))

    def at_hand(self, url: str, local: Pictures | None) -> bytes | None:
        """A picture that can be had without the web, for a sample."""
        known = self._shelf.get(url)
        if known is not None:
            return None if known.failure else self._shelf.read(known)
        answer = local.get(url) if local is not None else None
        return answer if isinstance(answer, bytes) else None

    def _from(self, urls: list[str], local: Pictures, *, final: bool) -> dict[str, Picture]:
        with ThreadPoolExecutor(_THREADS) as pool:
            return dict(zip(urls, pool.map(lambda url: self._shelf.put(url, local.get(url), final=final), urls), strict=True))

    def _keep(self, result: Result) -> tuple[str, Picture]:
        return result.url, self._shelf.put(result.url, result if isinstance(result, Failed) else result.data)
