"""Who pays, with what, and where: customers, their cards and devices, and merchants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from synfinance.generator import catalog
from synfinance.generator.hashing import uniform

ONLINE_PLACE: Final = len(catalog.CITIES)
"""The place of merchants that trade remotely only; places below it are codes of cities."""
PLACES: Final = ONLINE_PLACE + 1
HOMES: Final = sum(city.weight > 0 for city in catalog.CITIES)
"""Cities 0 to HOMES - 1 are where customers live; the others are only travelled to."""

_DEVICES_PER_CUSTOMER: Final = 4
_DEVICE_DAYS: Final = 200
_POPULARITY_SKEW: Final = 2.2
_FAVOURITES: Final = 3
_ONLINE_MERCHANTS: Final = 0.6
"""Merchants per transaction among remote traders, relative to those in a city."""

Codes = NDArray[np.uint32]
Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Population:
    """Everybody and everything that takes part, as arrays indexed by code."""

    seed: int
    customer_home: NDArray[np.uint8]
    customer_age: NDArray[np.uint8]
    customer_spending: Reals
    """Factor on amounts, around 1, in the customer's own currency."""
    customer_online: Reals
    """Factor on the share of remote purchases."""
    customer_latitude: Reals
    customer_longitude: Reals
    first_card: Codes
    """Code of each customer's first card, and one more entry: the number of cards."""
    customer_pool: Codes
    """Customers repeated in proportion to how often they pay: a uniform index draws a payer."""

    card_owner: Codes
    card_type: NDArray[np.uint8]
    card_network: NDArray[np.uint8]
    card_last4: NDArray[np.uint16]
    card_currency: NDArray[np.uint8]

    merchant_category: NDArray[np.uint8]
    merchant_place: NDArray[np.uint8]
    merchant_city: NDArray[np.uint8]
    """City of the merchant's seat, also for those that trade remotely."""
    merchant_latitude: Reals
    merchant_longitude: Reals
    merchant_names: tuple[str, ...]
    group_start: Codes
    """First merchant of each group; group ``category * PLACES + place``."""
    group_size: Codes

    @classmethod
    def of(cls, customers: int, merchants: int, seed: int) -> Population:
        """Draw a population; equal arguments give an equal one."""
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0x50])))
        return cls(seed=seed, **_people(rng, customers), **_merchants(rng, merchants))

    @property
    def customers(self) -> int:
        """Number of customers."""
        return len(self.customer_home)

    @property
    def cards(self) -> int:
        """Number of cards."""
        return len(self.card_owner)

    @property
    def merchants(self) -> int:
        """Number of merchants."""
        return len(self.merchant_category)

    @property
    def devices(self) -> int:
        """Number of devices; several customers may come to use one, as in a family."""
        return self.customers * _DEVICES_PER_CUSTOMER

    def card(self, customer: Codes, draw: Reals) -> Codes:
        """One of the customer's cards, the first one mostly. ``draw`` is uniform."""
        first: Codes = self.first_card[customer]
        more: Codes = ((self.first_card[customer + 1] - first) * draw**2).astype(np.uint32)
        return np.asarray(first + more)

    def merchant(self, category: NDArray[Any], place: NDArray[Any], draw: Reals) -> Codes:
        """A merchant of a category at a place, popular ones more often. ``draw`` is uniform."""
        group = category.astype(np.uint32) * np.uint32(PLACES) + place
        rank: Codes = (self.group_size[group] * draw**_POPULARITY_SKEW).astype(np.uint32)
        return np.asarray(self.group_start[group] + rank)

    def habit(self, customer: Codes, category: NDArray[Any], place: NDArray[Any], draw: Reals) -> Reals:
        """The draw that leads :meth:`merchant` to one of the few merchants a customer keeps going to."""
        slot = (_FAVOURITES * draw**2).astype(np.uint64)
        keys = ((customer.astype(np.uint64) * 64 + category) * 64 + place) * 4 + slot
        return uniform(keys, self.seed + 11)

    def device(self, customer: Codes, day: NDArray[Any], draw: Reals) -> Codes:
        """The device a customer uses on a day: mostly the newest of two, each replaced after some months."""
        second = (draw > 0.8).astype(np.uint64)
        keys = customer.astype(np.uint64) * 2 + second
        age = (day + uniform(keys, self.seed + 12) * _DEVICE_DAYS) // _DEVICE_DAYS
        return (uniform(keys * 4096 + age.astype(np.uint64), self.seed + 13) * self.devices).astype(np.uint32)

    def whereabouts(self, customer: Codes, day: NDArray[Any]) -> NDArray[np.uint8]:
        """The city a customer is in on a day: home, but for some weeks of travel and some day trips."""
        home = self.customer_home[customer]
        week_key = customer.astype(np.uint64) * 65536 + (day // 7)
        day_key = customer.astype(np.uint64) * 65536 + day
        week, outing = uniform(week_key, self.seed + 14), uniform(day_key, self.seed + 15)
        # Where one goes is the rest of the number that decided that one goes.
        abroad = (week / 0.05 * len(catalog.CITIES)).astype(np.uint8)
        nearby = (outing / 0.03 * HOMES).astype(np.uint8)
        return np.where(week < 0.05, abroad, np.where(outing < 0.03, nearby, home)).astype(np.uint8)


def _people(rng: np.random.Generator, count: int) -> dict[str, Any]:
    homes = np.array([city.weight for city in catalog.CITIES[:HOMES]])
    home = rng.choice(HOMES, count, p=homes / homes.sum()).astype(np.uint8)
    age = rng.choice(len(catalog.AGE_BANDS), count, p=catalog.AGE_WEIGHTS).astype(np.uint8)
    currency = np.array([catalog.CURRENCIES.index(city.currency) for city in catalog.CITIES[:HOMES]], dtype=np.uint8)
    price = np.array([catalog.EUROS_TO[name] for name in catalog.CURRENCIES])
    cards_each = rng.choice([1, 2, 3], count, p=[0.58, 0.31, 0.11])
    first_card = np.concatenate([[0], np.cumsum(cards_each)]).astype(np.uint32)
    owner = np.repeat(np.arange(count, dtype=np.uint32), cards_each)
    activity = rng.lognormal(0.0, 0.7, count)
    copies = np.maximum(1, np.rint(activity / activity.mean() * 16)).astype(np.int64)
    latitude, longitude = _city_coordinates()
    return {
        "customer_home": home,
        "customer_age": age,
        "customer_spending": rng.lognormal(0.0, 0.40, count) * price[currency[home]],
        "customer_online": np.array(catalog.AGE_ONLINE)[age] * rng.uniform(0.6, 1.4, count),
        "customer_latitude": latitude[home] + rng.normal(0, 0.06, count),
        "customer_longitude": longitude[home] + rng.normal(0, 0.08, count),
        "first_card": first_card,
        "customer_pool": np.repeat(np.arange(count, dtype=np.uint32), copies),
        "card_owner": owner,
        "card_type": _choice(rng, catalog.CARD_TYPE_WEIGHTS, len(owner)),
        "card_network": _choice(rng, catalog.CARD_NETWORK_WEIGHTS, len(owner)),
        "card_last4": rng.integers(0, 10_000, len(owner), dtype=np.uint16),
        "card_currency": currency[home][owner],
    }


def _merchants(rng: np.random.Generator, count: int) -> dict[str, Any]:
    """Merchants by group (category, place), at least one in each, the rest in proportion to trade."""
    cities = np.array([max(city.weight, 1.0) for city in catalog.CITIES])
    weight = np.empty((len(catalog.CATEGORIES), PLACES))
    for code, trade in enumerate(catalog.CATEGORIES):
        weight[code, :ONLINE_PLACE] = trade.weight * (1 - trade.online) * cities / cities.sum()
        weight[code, ONLINE_PLACE] = trade.weight * trade.online * _ONLINE_MERCHANTS
    share = weight.ravel() / weight.sum()
    size = 1 + np.floor(share * max(0, count - share.size)).astype(np.uint32)
    start = np.concatenate([[0], np.cumsum(size)[:-1]]).astype(np.uint32)
    group = np.repeat(np.arange(share.size), size)
    category, place = (group // PLACES).astype(np.uint8), (group % PLACES).astype(np.uint8)
    seats = rng.choice(HOMES, len(group)).astype(np.uint8)
    city = np.where(place == ONLINE_PLACE, seats, place).astype(np.uint8)
    latitude, longitude = _city_coordinates()
    first = rng.integers(0, len(catalog.MERCHANT_NAMES), (2, len(group)))
    names = catalog.MERCHANT_NAMES
    return {
        "merchant_category": category,
        "merchant_place": place,
        "merchant_city": city,
        "merchant_latitude": latitude[city] + rng.normal(0, 0.05, len(group)),
        "merchant_longitude": longitude[city] + rng.normal(0, 0.07, len(group)),
        "merchant_names": tuple(
            f"{names[a]} {names[b]} {catalog.CATEGORIES[c].noun}"
            for a, b, c in zip(first[0].tolist(), first[1].tolist(), category.tolist(), strict=True)
        ),
        "group_start": start,
        "group_size": size,
    }


def _choice(rng: np.random.Generator, weights: tuple[float, ...], count: int) -> NDArray[np.uint8]:
    return rng.choice(len(weights), count, p=weights).astype(np.uint8)


def _city_coordinates() -> tuple[Reals, Reals]:
    return np.array([city.latitude for city in catalog.CITIES]), np.array([city.longitude for city in catalog.CITIES])
