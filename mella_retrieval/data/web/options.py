"""How the web is asked."""

from __future__ import annotations

from pydantic import Field

from mella_retrieval.recipes import Strict


class FetchOptions(Strict):
    """How the web is asked.

    Attributes:
        threads: requests under way at the same time.
        per_host: requests a second to one host; 0 = no limit. A site's Crawl-delay may make it slower.
        at_once: requests to one host under way at the same time.
        timeout: seconds of silence that end an attempt.
        deadline: seconds that the requests for one URL may take in all; waiting for turns does not count.
        attempts: at a URL, before a failure that might pass is final.
        pause: seconds before the second attempt; doubled each time, at most a minute.
        host_failures: URLs in a row without an answer after which the rest of a host's is not asked.
        max_bytes: of a page or picture.
        allow_private: ask hosts that are not public too.
        robots: heed robots.txt and X-Robots-Tag (noai, noimageai).
        user_agent: the name under which to ask; by default that of this package. Name yourself where you ask a lot.
        proxies: use the proxies of the environment. These look up the hosts, so that only private addresses that are written
            out are refused.
    """

    threads: int = Field(default=16, ge=1, le=512)
    per_host: float = Field(default=2.0, ge=0)
    at_once: int = Field(default=4, ge=1)
    timeout: float = Field(default=20.0, gt=0)
    deadline: float = Field(default=60.0, gt=0)
    attempts: int = Field(default=3, ge=1)
    pause: float = Field(default=1.0, ge=0)
    host_failures: int = Field(default=20, ge=1)
    max_bytes: int = Field(default=20_000_000, ge=1)
    allow_private: bool = False
    robots: bool = True
    user_agent: str = Field(default="", pattern=r"^[ -~]*$")
    proxies: bool = False
