"""How many threads prediction takes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Final

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

_WORTH_THREADS: Final = 50_000


@contextlib.contextmanager
def threads_for(rows: int) -> Iterator[None]:
    """Keep prediction to one thread where there are few rows.

    Waking and joining OpenMP's threads costs more than predicting a batch, and on a busy machine many times more.
    """
    if rows >= _WORTH_THREADS:
        yield
    else:
        with _openmp().limit(limits=1):
            yield


@functools.cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")
