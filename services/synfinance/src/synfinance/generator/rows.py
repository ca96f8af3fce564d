"""Transactions as parallel arrays of codes, and the data frame that they become."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synfinance.generator import catalog
from synfinance.generator.population import Population

NO_DEVICE = np.int64(-1)


@dataclass(slots=True)
class Rows:
    """Transactions, one array a column, all of one length."""

    time: NDArray[np.int64]
    """Milliseconds since 1970, UTC."""
    card: NDArray[np.uint32]
    merchant: NDArray[np.uint32]
    kind: NDArray[np.uint8]
    channel: NDArray[np.uint8]
    entry_mode: NDArray[np.uint8]
    amount: NDArray[np.int64]
    """Minor units of the card's currency; refunds are negative."""
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    device: NDArray[np.int64]
    """Code of the device, or -1 where the card was present."""
    fraud_type: NDArray[np.uint8]
    """0 for none, else 1 + the index in ``FRAUD_TYPES``."""
    severity: NDArray[np.uint8]
    """0 for none, else 1 + the index in ``SEVERITIES``."""

    def __len__(self) -> int:
        return len(self.time)

    def take(self, chosen: NDArray[Any]) -> Self:
        """The rows at these indices, or where this mask holds."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def joined(cls, *parts: Self) -> Self:
        """The rows of all parts, ordered by time; equal times keep the order of the parts."""
        if len(parts) > 1 and sum(map(len, parts)) > 0:
            columns = [np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)]
        else:
            columns = [getattr(parts[0], field.name) for field in fields(cls)]
        order = np.argsort(columns[0], kind="stable")
        return cls(*(column[order] for column in columns))


class Columns:
    """The data frame's schema for one population, and the conversion of rows to it."""

    def __init__(self, population: Population) -> None:
        self._population = population
        people, cards, merchants = population.customers, population.cards, population.merchants
        place_names = [city.name for city in catalog.CITIES]
        self._customer = _numbered("C", people)
        self._card = _numbered("K", cards)
        self._merchant = _numbered("M", merchants)
        self._device = _numbered("D", population.devices)
        # A name that several merchants chose gets a number, so that names are as distinct as merchants.
        self._merchant_name = pl.Enum(_distinct(population.merchant_names))
        self._city = pl.Enum(place_names)
        self._country = pl.Enum(list(dict.fromkeys(city.country for city in catalog.CITIES)))
        self._category = pl.Enum([category.name for category in catalog.CATEGORIES])
        self._currency = pl.Enum(catalog.CURRENCIES)
        self._age = pl.Enum(catalog.AGE_BANDS)
        self._card_type = pl.Enum(catalog.CARD_TYPES)
        self._network = pl.Enum(catalog.CARD_NETWORKS)
        self._last4 = pl.Enum([f"**** {number:04d}" for number in range(10_000)])
        self._kind = pl.Enum(catalog.KINDS)
        self._channel = pl.Enum(catalog.CHANNELS)
        self._entry_mode = pl.Enum(catalog.ENTRY_MODES)
        self._fraud_type = pl.Enum(("none", *catalog.FRAUD_TYPES))
        self._severity = pl.Enum(("none", *catalog.SEVERITIES))
        countries = self._country.categories.to_list()
        self._country_of = np.array([countries.index(city.country) for city in catalog.CITIES], dtype=np.uint8)
        self._mcc = np.array([category.mcc for category in catalog.CATEGORIES], dtype=np.uint16)
        self.schema = pl.Schema(self.frame(_no_rows(), 0).schema)
        """Names and types of the columns."""

    def frame(self, rows: Rows, first_id: int) -> pl.DataFrame:
        """Rows as a data frame; transactions are numbered from ``first_id``."""
        world = self._population
        customer = world.card_owner[rows.card]
        category = world.merchant_category[rows.merchant]
        city = world.merchant_city[rows.merchant]
        home = world.customer_home[customer]
        amount = pl.Series(rows.amount)
        device = pl.Series(np.maximum(rows.device, 0).astype(np.uint32)).cat.to(self._device)
        return pl.DataFrame(
            {
                "transaction_id": np.arange(first_id, first_id + len(rows), dtype=np.int64),
                "timestamp": pl.Series(rows.time).cast(pl.Datetime("ms")),
                "customer_id": pl.Series(customer).cat.to(self._customer),
                "age_band": pl.Series(world.customer_age[customer]).cat.to(self._age),
                "home_city": pl.Series(home).cat.to(self._city),
                "home_country": pl.Series(self._country_of[home]).cat.to(self._country),
                "card_id": pl.Series(rows.card).cat.to(self._card),
                "card_type": pl.Series(world.card_type[rows.card]).cat.to(self._card_type),
                "card_network": pl.Series(world.card_network[rows.card]).cat.to(self._network),
                "card_number": pl.Series(world.card_last4[rows.card]).cat.to(self._last4),
                "transaction_type": pl.Series(rows.kind).cat.to(self._kind),
                "amount": (amount / 100).cast(pl.Decimal(18, 2)),
                "amount_minor": amount,
                "currency": pl.Series(world.card_currency[rows.card]).cat.to(self._currency),
                "channel": pl.Series(rows.channel).cat.to(self._channel),
                "entry_mode": pl.Series(rows.entry_mode).cat.to(self._entry_mode),
                "merchant_id": pl.Series(rows.merchant).cat.to(self._merchant),
                "merchant_name": pl.Series(rows.merchant).cat.to(self._merchant_name),
                "category": pl.Series(category).cat.to(self._category),
                "mcc": self._mcc[category],
                "merchant_city": pl.Series(city).cat.to(self._city),
                "merchant_country": pl.Series(self._country_of[city]).cat.to(self._country),
                "latitude": rows.latitude.astype(np.float32),
                "longitude": rows.longitude.astype(np.float32),
                "device_id": device.set(pl.Series(rows.device < 0), None) if len(rows) else device,
                "is_fraud": rows.fraud_type > 0,
                "fraud_type": pl.Series(rows.fraud_type).cat.to(self._fraud_type),
                "severity": pl.Series(rows.severity).cat.to(self._severity),
            }
        )


def _numbered(prefix: str, count: int) -> pl.Enum:
    width = max(6, len(str(count)))
    return pl.Enum([f"{prefix}{number:0{width}d}" for number in range(count)])


def _distinct(names: tuple[str, ...]) -> list[str]:
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = count = seen.get(name, 0) + 1
        result.append(name if count == 1 else f"{name} {count}")
    return result


def _no_rows() -> Rows:
    whole, real = np.empty(0, np.int64), np.empty(0, np.float64)
    code, small = np.empty(0, np.uint32), np.empty(0, np.uint8)
    return Rows(whole, code, code, small, small, small, whole, real, real, whole, small, small)
