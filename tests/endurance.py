"""How long the tests go on that harm a running service: a few seconds in `make test`, the whole in `make faults`.

In `make test` the dice fall alike on every run. `make faults` throws new ones and prints their seed, which
`make faults SEED=…` throws again.
"""

from __future__ import annotations

import os
import random
from typing import TypeVar

__all__ = ["WHOLE", "dice", "size"]

T = TypeVar("T")

#: Whether everything is run in full.
WHOLE = os.environ.get("FAULTS") == "whole"

_SEED = 20261122


def size(short: T, whole: T) -> T:
    """Return how much to do: seconds, rounds or rows."""
    return whole if WHOLE else short


def dice() -> random.Random:
    """Return what decides whom it hits; the seed is printed, so that a failure shows it."""
    given = os.environ.get("FAULTS_SEED")
    seed = int(given) if given else random.SystemRandom().randrange(10**6) if WHOLE else _SEED
    print(f"make faults SEED={seed}")
    return random.Random(seed)
