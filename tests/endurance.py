"""How long the tests go on that harm a running service: a few seconds in `make test`, the whole in `make faults`.

In `make test` the dice fall alike on every run. `make faults` throws new ones and prints their seed, which
`make faults SEED=…` throws again.
"""

from __future__ import annotations

import json
import os
import random
from typing import TypeVar

__all__ = ["TOLD", "WHOLE", "dice", "size", "tell"]

T = TypeVar("T")

#: Whether everything is run in full.
WHOLE = os.environ.get("FAULTS") == "whole"
#: How a line begins that tells what a test has done; ``python -m tools.faults`` makes a table of them.
TOLD = "what was done: "

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


def tell(what: str, **figures: object) -> None:
    """Tell what a test has done and found, for people and for the table at the end of `make faults`.

    :param figures: ``writes`` that were acknowledged, ``kills`` of all kinds, what was ``missing``, ``extra``,
        ``different`` or ``stale``, and whatever else is worth telling.
    """
    print(f"{TOLD}{json.dumps({'what': what, **figures})}")
