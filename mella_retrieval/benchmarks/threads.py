"""How many threads to use, and keeping the BLAS to one of them.

Many small products, or products in several threads at once, are faster when each runs on one thread: a BLAS that
spreads them makes its threads wait for one another, on a busy machine ten times as long as they work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


def processors() -> int:
    """Processors this process may use, at most 16: beyond that, memory is what ranking waits for."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, 16)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside the block matrix products run on the thread that calls them."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries: once is enough
