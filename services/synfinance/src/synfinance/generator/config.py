"""What to generate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from synfinance.generator.catalog import FRAUD_TYPES

TRANSACTIONS_PER_DAY: Final = 1.5
"""Transactions of an average customer in a day, from which the time span follows."""
MAX_ROWS: Final = 10_000_000_000


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """The size, seed and make-up of a run. Equal configurations give equal rows.

    Raises:
        ValueError: a value is out of range; the message names it and says what it may be.
    """

    rows: int = 100_000
    """Transactions in all, fraudulent ones included."""
    seed: int = 0
    fraud_rate: float = 0.005
    """Share of fraudulent transactions, 0 to 0.5; ignored when :attr:`fraud` is given."""
    fraud: int | None = None
    """Exact number of fraudulent transactions."""
    fraud_types: tuple[str, ...] = FRAUD_TYPES
    """Kinds of fraud to inject, in equal shares of episodes."""
    customers: int | None = None
    """People; by default one for about 45 transactions, 40 to 20,000."""
    merchants: int | None = None
    """Merchants; by default one for 4 customers, at least 1,500."""
    days: float | None = None
    """Time span; by default what the customers need at 1.5 transactions a day each."""
    start: datetime = datetime(2025, 1, 6, tzinfo=UTC)
    """Time of the first possible transaction. A time without a zone is UTC."""

    def __post_init__(self) -> None:
        _require(1 <= self.rows <= MAX_ROWS, f"rows must be 1 to {MAX_ROWS:,}, not {self.rows:,}")
        _require(self.seed >= 0, f"seed must not be negative, but is {self.seed}")
        _require(0 <= self.fraud_rate <= 0.5, f"fraud_rate must be 0 to 0.5, not {self.fraud_rate}")
        if self.fraud is not None:
            most = self.rows // 2
            _require(0 <= self.fraud <= most, f"fraud must be 0 to {most:,}, half of the rows, not {self.fraud:,}")
        unknown = sorted(set(self.fraud_types) - set(FRAUD_TYPES))
        _require(not unknown, f"unknown fraud types {', '.join(unknown)}; known are {', '.join(FRAUD_TYPES)}")
        _require(bool(self.fraud_types), "fraud_types must name at least one type")
        _require(self.customers is None or 1 <= self.customers <= 10_000_000, "customers must be 1 to 10,000,000")
        _require(self.merchants is None or 1 <= self.merchants <= 10_000_000, "merchants must be 1 to 10,000,000")
        _require(self.days is None or 0 < self.days <= 36_500, "days must be above 0 and at most 36,500")

    @property
    def fraud_count(self) -> int:
        """Fraudulent transactions in the run, exactly."""
        return self.fraud if self.fraud is not None else fraud_in(self.rows, self.fraud_rate)

    @property
    def customer_count(self) -> int:
        """Customers, chosen or by default."""
        return self.customers or min(20_000, max(40, self.rows // 45))

    @property
    def merchant_count(self) -> int:
        """Merchants, chosen or by default."""
        return self.merchants or max(1_500, self.customer_count // 4)

    def span_days(self, rows: int) -> float:
        """Days that ``rows`` transactions of these customers take."""
        return max(rows / (self.customer_count * TRANSACTIONS_PER_DAY), 1 / 24)


def fraud_in(rows: int, rate: float) -> int:
    """The number of fraudulent transactions among ``rows`` at ``rate``, rounded, never more than half."""
    return min(round(rows * rate), rows // 2)


def _require(held: bool, message: str) -> None:
    if not held:
        raise ValueError(message)
