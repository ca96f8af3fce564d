"""How many threads learning and prediction take."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Final

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

_WORTH_THREADS: Final = 50_000


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Take one thread: for work so short that waking others costs more than it saves."""
    with _openmp().limit(limits=1):
        yield


@contextlib.contextmanager
def threads_for(rows: int) -> Iterator[None]:
    """Take one thread to fit few rows, and no more threads than there are idle cores to fit many.

    OpenMP's threads spin while they wait for each other: with more of them than free cores, all of them wait for the
    one that does not run, and a fit takes ten times as long as with one thread. The results do not depend on this.
    """
    with _openmp().limit(limits=1 if rows < _WORTH_THREADS else _idle_cores()):
        yield


def _idle_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(cores, round(cores - load)))


@functools.cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")
