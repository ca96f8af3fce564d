"""Uniform numbers as a pure function of a key: the same customer, week or episode draws the same number every time.

A block of transactions can thus be made without the blocks before it, and nothing has to be remembered in between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-53


def mix(keys: NDArray[Any], salt: int) -> NDArray[np.uint64]:
    """Hash integers to 64 well-mixed bits; ``salt`` selects an independent function.

    The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    """
    offset = np.uint64((salt * int(_GOLDEN) + 0x632BE59BD9B4E019) % 2**64)
    bits = keys.astype(np.uint64) * _GOLDEN + offset
    bits ^= bits >> np.uint64(30)
    bits *= _MIX_1
    bits ^= bits >> np.uint64(27)
    bits *= _MIX_2
    bits ^= bits >> np.uint64(31)
    return bits


def uniform(keys: NDArray[Any], salt: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each integer key; ``salt`` selects an independent draw."""
    return (mix(keys, salt) >> np.uint64(11)).astype(np.float64) * _TO_UNIT
