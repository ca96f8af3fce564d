"""How many organisations of which size there are, and what each of them earns and spends.

Sizes follow Zipf's law: few are large, most are small. Everything is a function of the seed, the organisation and the
number of the transaction, so any part can be made at any time, and memory does not grow with how much there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["CURRENCIES", "Made", "Plan"]

CURRENCIES: Final = ("EUR", "USD", "GBP", "CHF", "JPY")
_SHARES: Final = (0.6, 0.25, 0.08, 0.05, 0.02)
#: Accounts of the usual chart, and how often each is used.
REVENUE: Final = (("4000", 0.7), ("4100", 0.25), ("4900", 0.05))
EXPENSE: Final = (("5000", 0.4), ("5100", 0.2), ("5200", 0.1), ("5300", 0.15), ("5900", 0.15))
_EPOCH: Final = date(1970, 1, 1)
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)

Uints = NDArray[np.uint64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Made:
    """Transactions, a column each; ``organization`` is the place of theirs, from 0.

    :ivar days: since 1970. :ivar amounts: minor units. :ivar accounts: places in REVENUE and EXPENSE, one after the
        other. :ivar names: places in the names of counterparties.
    """

    organization: NDArray[np.int64]
    number: NDArray[np.int64]
    days: NDArray[np.int64]
    accounts: NDArray[np.int64]
    amounts: NDArray[np.int64]
    names: NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """What is to be made.

    :param transactions: of all organisations; each has one at least, so there are never fewer than organisations.
    :param until: the last day, and :param days: how many there are.
    """

    organizations: int
    transactions: int
    seed: int = 1
    until: date = date(2025, 12, 31)
    days: int = 730

    def __post_init__(self) -> None:
        if self.organizations < 1 or self.days < 7:
            raise ValueError("give at least one organisation, and seven days")
        if self.transactions < self.organizations:
            raise ValueError("give at least as many transactions as organisations: each has one")

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many transactions each organisation has; the largest are anywhere among them."""
        weights = 1.0 / np.arange(1, self.organizations + 1, dtype=np.float64)
        spare = self.transactions - self.organizations
        ends = np.floor(np.cumsum(weights) / weights.sum() * spare + 0.5).astype(np.int64)
        ends[-1] = spare
        sizes: NDArray[np.int64] = np.diff(ends, prepend=0) + 1
        np.random.default_rng(self.seed).shuffle(sizes)
        return sizes

    def currency(self, organization: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of the currencies of organisations."""
        return np.searchsorted(np.cumsum(_SHARES), self._dice(organization, 0, 1) * 0.999999)

    def capital(self, organization: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return with how many minor units organisations began: 1,000 to 100,000 whole ones, in round numbers."""
        return (10 ** (3 + 2 * self._dice(organization, 0, 2))).astype(np.int64) // 100 * 10_000

    def make(self, organization: NDArray[np.int64], number: NDArray[np.int64], sizes: NDArray[np.int64]) -> Made:
        """Return transactions by their organisation and their number in it, which is in the order of days.

        :param sizes: how many transactions each one's organisation has.
        """
        place = (number + self._dice(organization, number, 3)) / sizes
        days = (place * self.days).astype(np.int64) + (self.until - _EPOCH).days - self.days + 1
        # Nobody works on Sundays: 1970 began on a Thursday.
        days -= ((days + 3) % 7 == 6).astype(np.int64)
        earning = self._dice(organization, 0, 4) * 0.3 + 0.35
        earns = self._dice(organization, number, 5) < earning
        which = self._dice(organization, number, 6)
        earned = np.searchsorted(np.cumsum([share for _, share in REVENUE]), which * 0.999999)
        spent = np.searchsorted(np.cumsum([share for _, share in EXPENSE]), which * 0.999999) + len(REVENUE)
        # Larger ones have larger amounts; of one, most are small.
        scale = 3.5 + 0.25 * np.log10(sizes) + self._dice(organization, 0, 7)
        normal = np.sqrt(-2 * np.log(1 - self._dice(organization, number, 8))) * np.cos(
            2 * np.pi * self._dice(organization, number, 9)
        )
        amounts = np.clip(10 ** (scale + 0.45 * normal), 1, 10**10).astype(np.int64)
        return Made(
            organization, number, days, np.where(earns, earned, spent), amounts,
            (self._dice(organization, number, 10) ** 2 * len(NAMES)).astype(np.int64),
        )  # fmt: skip

    def _dice(self, organization: NDArray[np.int64], number: Any, salt: int) -> Floats:
        """Return numbers from 0 to 1 that are the same whenever they are asked for (splitmix64)."""
        with np.errstate(over="ignore"):
            key = organization.astype(np.uint64) << np.uint64(32) | np.asarray(number, np.uint64)
            mixed: Uints = key * _GOLDEN + np.uint64(self.seed * 0x51_7C_C1 + salt) * np.uint64(0xD1B54A32D192ED03)
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
                mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def day_of(number: int) -> date:
    """Return the day that is so many after the first of 1970."""
    return _EPOCH + timedelta(days=number)


#: Whom transactions are with.
NAMES: Final = tuple(
    f"{first} {second}"
    for first in "Acme Bolt Crux Delta Echo Flint Grit Halo Iris Jade Kite Lynx Mint Nova Onyx Plum".split()
    for second in "Ltd GmbH Inc SA Traders Works Supplies Partners".split()
)
