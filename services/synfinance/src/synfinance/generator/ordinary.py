"""Honest transactions, including those that look like fraud: shopping sprees, journeys, new devices, refunds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from synfinance.generator import catalog
from synfinance.generator.catalog import CATEGORY, CHANNEL, ENTRY_MODE, KIND
from synfinance.generator.population import ONLINE_PLACE, Population
from synfinance.generator.rows import NO_DEVICE, Rows
from synfinance.generator.season import DAY, HOUR, Season, categories_by_hour

CONTACTLESS_LIMIT: Final = 50.0
"""Euros up to which a card is held to the terminal without a PIN."""

_HABIT: Final = 0.72
_SPREES: Final = 0.012
_SPREE_LENGTH: Final = 7

_ONLINE_SHARE: Final = np.array([category.online for category in catalog.CATEGORIES])
_LOG_MEDIAN: Final = np.log([category.median * 100 for category in catalog.CATEGORIES])
_SPREAD: Final = np.array([category.spread for category in catalog.CATEGORIES])
_RECURRING: Final = np.zeros(len(catalog.CATEGORIES))
_RECURRING[[CATEGORY["utilities"], CATEGORY["digital_goods"], CATEGORY["entertainment"]]] = 0.45, 0.25, 0.15
_REFUNDED: Final = np.zeros(len(catalog.CATEGORIES))
_REFUNDED[[CATEGORY[name] for name in ("online_retail", "clothing", "electronics", "home_improvement")]] = 0.05
_ENTRY_OF: Final = np.array(
    [
        ENTRY_MODE[n]
        for n in ("icc", "nfc", "magnetic_stripe", "icc", "ecommerce", "ecommerce", "manual", "stored_credential")
    ],
    dtype=np.uint8,
)
_PRICE: Final = np.array([catalog.EUROS_TO[name] for name in catalog.CURRENCIES])


def ordinary(
    world: Population, season: Season, rng: np.random.Generator, mass: tuple[float, float], count: int
) -> Rows:
    """Draw ``count`` honest transactions within a slice of the season's mass, ordered by time but for sprees."""
    masses = np.sort(rng.random(count)) * (mass[1] - mass[0]) + mass[0]
    time = season.time_at(masses)
    customer = world.customer_pool[(rng.random(count) * len(world.customer_pool)).astype(np.int64)]
    category = categories_by_hour()[(time // HOUR) % 24, (rng.random(count, np.float32) * 4095.99).astype(np.int64)]
    habit, choice = rng.random(count), rng.random(count)
    remote_draw, card_draw, device_draw = rng.random(count), rng.random(count), rng.random(count)

    source, step = _sprees(rng, count)
    customer, category, remote_draw = customer[source], category[source], remote_draw[source]
    card_draw, device_draw = card_draw[source], device_draw[source]
    same = rng.random(count) < 0.6
    habit, choice = np.where(same, habit[source], habit), np.where(same, choice[source], choice)
    pause = 10_000 * np.exp(rng.random(count) * 4.2)
    # A spree that would outlast the slice is pressed into what is left of it.
    room = season.time_at(np.array([mass[1]])) - time[source]
    delay = step * pause[source]
    time = time[source] + np.where(delay < room, delay, room * (step / (_SPREE_LENGTH + 1))).astype(np.int64)

    day = time // DAY
    share = _ONLINE_SHARE[category]
    remote = remote_draw < 1 - (1 - share) ** world.customer_online[customer]
    city = world.whereabouts(customer, day)
    place = np.where(remote, np.uint8(ONLINE_PLACE), city)
    usual = habit < _HABIT
    merchant = world.merchant(category, place, np.where(usual, world.habit(customer, category, place, choice), choice))
    card = world.card(customer, card_draw)
    euros = np.exp(_LOG_MEDIAN[category] + _SPREAD[category] * rng.standard_normal(count)) / 100
    channel, entry_mode = _channels(rng, category, remote, euros)
    kind = np.full(count, KIND["purchase"], np.uint8)
    kind[category == CATEGORY["cash"]] = KIND["withdrawal"]
    kind[category == CATEGORY["money_transfer"]] = KIND["transfer"]
    refunded = rng.random(count) < _REFUNDED[category]
    kind[refunded] = KIND["refund"]
    amount = priced(euros * world.customer_spending[customer], category, rng.random(count))
    amount[refunded] *= -1
    latitude, longitude = positions(world, customer, merchant, remote, city)
    with_device = (channel == CHANNEL["online"]) | (channel == CHANNEL["in_app"])
    device = np.where(with_device, world.device(customer, day, device_draw).astype(np.int64), NO_DEVICE)
    none = np.zeros(count, np.uint8)
    return Rows(time, card, merchant, kind, channel, entry_mode, amount, latitude, longitude, device, none, none.copy())


def priced(price: NDArray[np.float64], category: NDArray[Any], draw: NDArray[np.float64]) -> NDArray[np.int64]:
    """Amounts in minor units with the endings that prices have: .99, .50, whole ones; notes from a cash machine."""
    minor = np.rint(price * 100)
    whole = np.rint(price) * 100
    ending = np.select(
        [draw < 0.16, draw < 0.28, draw < 0.40], [np.maximum(whole - 1, 99), np.rint(price * 2) * 50, whole], minor
    )
    notes = np.maximum(np.rint(price / 10), 1) * 1000
    dispensed = (category == CATEGORY["cash"]) | ((category == CATEGORY["money_transfer"]) & (draw < 0.5))
    return np.maximum(np.where(dispensed, notes, ending), 10).astype(np.int64)


def positions(
    world: Population, customer: NDArray[Any], merchant: NDArray[Any], remote: NDArray[Any], city: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the card or the customer's device was: the terminal, or else home or the city travelled to."""
    home = world.customer_home[customer]
    away_latitude, away_longitude = city_offset(city, home)
    latitude = np.where(remote, world.customer_latitude[customer] + away_latitude, world.merchant_latitude[merchant])
    longitude = np.where(
        remote, world.customer_longitude[customer] + away_longitude, world.merchant_longitude[merchant]
    )
    return np.round(latitude, 4), np.round(longitude, 4)


def city_offset(city: NDArray[Any], home: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Degrees of latitude and longitude from one city to another."""
    return _LATITUDE[city] - _LATITUDE[home], _LONGITUDE[city] - _LONGITUDE[home]


_LATITUDE: Final = np.array([city.latitude for city in catalog.CITIES])
_LONGITUDE: Final = np.array([city.longitude for city in catalog.CITIES])


def default_entry(channel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The usual way to read a card in each channel."""
    return _ENTRY_OF[channel]


def _channels(
    rng: np.random.Generator, category: NDArray[Any], remote: NDArray[Any], euros: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    count = len(category)
    draw, entry_draw = rng.random(count), rng.random(count)
    recurring = _RECURRING[category]
    from_afar = np.select(
        [draw < recurring, draw < recurring + 0.02, draw < recurring + 0.02 + 0.25],
        [CHANNEL["recurring"], CHANNEL["phone"], CHANNEL["in_app"]],
        CHANNEL["online"],
    )
    near = np.select(
        [category == CATEGORY["cash"], draw < 0.015, (euros < CONTACTLESS_LIMIT) & (draw < 0.8)],
        [CHANNEL["atm"], CHANNEL["magstripe"], CHANNEL["contactless"]],
        CHANNEL["chip"],
    )
    channel = np.where(remote, from_afar, near).astype(np.uint8)
    entry_mode = default_entry(channel)
    entry_mode[(channel == CHANNEL["online"]) & (entry_draw < 0.4)] = ENTRY_MODE["stored_credential"]
    entry_mode[(channel == CHANNEL["in_app"]) & (entry_draw < 0.8)] = ENTRY_MODE["stored_credential"]
    entry_mode[(channel == CHANNEL["atm"]) & (entry_draw < 0.06)] = ENTRY_MODE["magnetic_stripe"]
    return channel, entry_mode


def _sprees(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row, the row it follows in a spree (itself mostly) and how many steps behind it is."""
    source = np.arange(count, dtype=np.int64)
    leaders = np.flatnonzero(rng.random(count, np.float32) < _SPREES)
    length = 1 + (rng.random(len(leaders)) ** 2 * _SPREE_LENGTH).astype(np.int64)
    for step in range(1, _SPREE_LENGTH + 1):
        going = leaders[(length >= step) & (leaders + step < count)]
        source[going + step] = going
    # A leader that was itself drawn into an earlier spree would make a chain; it stays in its own.
    source[leaders] = leaders
    return source, np.arange(count, dtype=np.int64) - source
