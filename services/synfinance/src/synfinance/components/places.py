"""A number for each process of a service on one host, from 0 on, without gaps among those that run."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["place_in"]


@contextmanager
def place_in(directory: Path, name: str) -> Iterator[int]:
    """Take the lowest number that no other process has, and keep it while inside.

    The kernel gives it back when its holder dies, however it dies.
    """
    for number in itertools.count():
        descriptor = os.open(directory / f"{name}.{number}.place", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        try:
            yield number
        finally:
            os.close(descriptor)
        return
