"""Frauds as they are played: each kind turns planned episodes into transactions.

A transaction depends on its episode's key and its place in the episode only, so that a block of time can be played
without the blocks before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from synfinance.generator import catalog
from synfinance.generator.catalog import CATEGORY, CHANNEL, ENTRY_MODE, KIND
from synfinance.generator.hashing import uniform
from synfinance.generator.ordinary import CONTACTLESS_LIMIT, default_entry, positions, priced
from synfinance.generator.plan import STAGES, Episodes, schedule
from synfinance.generator.population import HOMES, ONLINE_PLACE, Population
from synfinance.generator.rows import NO_DEVICE, Rows
from synfinance.generator.season import DAY

_GREED: Final = np.array([0.9, 1.4, 2.3, 4.2])
"""Factor on amounts, by severity."""
_MEDIAN: Final = np.array([category.median for category in catalog.CATEGORIES])

Reals = NDArray[np.float64]
Codes = NDArray[Any]


class Scene:
    """Transactions of episodes in the making; the kinds of fraud set what is theirs, on the rows they are given."""

    def __init__(self, world: Population, episodes: Episodes) -> None:
        self.world = world
        self.episode, self.step, offset = schedule(episodes.key, episodes.kind, episodes.length, episodes.stretch)
        self.time = episodes.start[self.episode] + offset
        self.last = self.step == episodes.length[self.episode].astype(np.int64) - 1
        self.key = episodes.key[self.episode]
        self.kind_of_fraud = episodes.kind[self.episode]
        self.severity = episodes.severity[self.episode]
        self.greed = _GREED[self.severity]
        self.card = episodes.card[self.episode]

        size = len(self.episode)
        self.category = np.full(size, CATEGORY["online_retail"], np.uint8)
        self.remote = np.zeros(size, bool)
        self.choice = self.each(2)
        """What leads to the merchant: equal draws lead to the same one."""
        self.city = np.zeros(size, np.uint8)
        self.euros = np.zeros(size)
        self.kind = np.full(size, KIND["purchase"], np.uint8)
        self.channel = np.full(size, CHANNEL["online"], np.uint8)
        self.entry_mode = np.full(size, 255, np.uint8)
        self.own_device = np.zeros(size, bool)
        self.exact = np.zeros(size, bool)
        """Whether the amount is not given the ending of a price."""

    def each(self, salt: int) -> Reals:
        """A uniform draw for each transaction."""
        return uniform(self.key * np.uint64(STAGES) + self.step.astype(np.uint64), salt)

    def common(self, salt: int) -> Reals:
        """A uniform draw for each episode, the same for all of its transactions."""
        return uniform(self.key, salt + 1000)

    def pick(self, names: tuple[str, ...], draw: Reals) -> NDArray[np.uint8]:
        """One of these categories for each draw."""
        return np.array([CATEGORY[name] for name in names], dtype=np.uint8)[(draw * len(names)).astype(np.int64)]

    def usual(self, salt: int, spread: float = 0.7) -> Reals:
        """Euros around the median of the category, before the customer's own spending level."""
        normal = np.sqrt(-2 * np.log(1 - self.each(salt))) * np.cos(2 * np.pi * self.each(salt + 1))
        return np.asarray(_MEDIAN[self.category] * np.exp(spread * normal))


def play(world: Population, episodes: Episodes) -> Rows:
    """The transactions of these episodes, in no particular order."""
    scene = Scene(world, episodes)
    customer = world.card_owner[scene.card]
    scene.city = world.whereabouts(customer, scene.time // DAY)
    for code, name in enumerate(catalog.FRAUD_TYPES):
        rows = np.flatnonzero(scene.kind_of_fraud == code)
        if len(rows):
            _PLAYS[name](scene, rows)
    customer = world.card_owner[scene.card]
    place = np.where(scene.remote, np.uint8(ONLINE_PLACE), scene.city)
    merchant = world.merchant(scene.category, place, scene.choice)
    price = scene.euros * world.customer_spending[customer]
    amount = np.where(
        scene.exact,
        np.maximum(np.rint(price * 100), 10).astype(np.int64),
        priced(price, scene.category, scene.each(40)),
    )
    amount[scene.kind == KIND["refund"]] *= -1
    # Half of the remote frauds come through an address near the victim.
    disguised = scene.own_device | (scene.common(41) < 0.55)
    origin = np.where(disguised, scene.city, (scene.common(42) * len(catalog.CITIES)).astype(np.uint8))
    latitude, longitude = positions(world, customer, merchant, scene.remote, origin.astype(np.uint8))
    return Rows(
        time=scene.time,
        card=scene.card,
        merchant=merchant,
        kind=scene.kind,
        channel=scene.channel,
        entry_mode=np.where(scene.entry_mode == 255, default_entry(scene.channel), scene.entry_mode),
        amount=amount,
        latitude=latitude,
        longitude=longitude,
        device=_devices(scene, customer),
        fraud_type=(scene.kind_of_fraud + 1).astype(np.uint8),
        severity=(scene.severity + 1).astype(np.uint8),
    )


def _devices(scene: Scene, customer: Codes) -> NDArray[np.int64]:
    """The customer's own device where fraud is theirs; else one of a ring's few, which serve many cards, or any."""
    world = scene.world
    own = world.device(customer, scene.time // DAY, scene.common(43))
    rings = max(4, world.devices // 400)
    ring = uniform((scene.common(44) * rings).astype(np.uint64), world.seed + 16)
    foreign = (np.where(scene.common(45) < 0.5, ring, scene.common(46)) * world.devices).astype(np.int64)
    shown = (scene.channel == CHANNEL["online"]) | (scene.channel == CHANNEL["in_app"])
    return np.where(shown, np.where(scene.own_device, own.astype(np.int64), foreign), NO_DEVICE)


def _online(s: Scene, rows: Codes, salt: int) -> None:
    """Remote purchases through the web or an app."""
    s.remote[rows] = True
    s.channel[rows] = np.where(s.each(salt) < 0.75, CHANNEL["online"], CHANNEL["in_app"])[rows]


def _at_terminal(s: Scene, rows: Codes, salt: int) -> None:
    """Purchases with the card present, contactless where the amount allows."""
    tapped = (s.euros < CONTACTLESS_LIMIT) & (s.each(salt) < 0.7)
    s.channel[rows] = np.where(tapped, CHANNEL["contactless"], CHANNEL["chip"])[rows]


def _card_testing(s: Scene, rows: Codes) -> None:
    """Many small remote payments at a lenient merchant to see which cards live; the graver ones end in a large one."""
    s.category[rows] = s.pick(
        ("digital_goods", "digital_goods", "online_retail", "transport", "entertainment"), s.common(3)
    )[rows]
    s.choice[rows] = np.where(s.each(4) < 0.8, s.common(5), s.choice)[rows]
    s.euros[rows] = (0.4 + 7 * s.each(6) ** 1.5)[rows]
    _online(s, rows, 7)
    final = rows[(s.last & (s.severity >= 1) & (s.common(8) < 0.7))[rows]]
    s.category[final] = s.pick(("electronics", "gift_cards", "online_retail"), s.common(9))[final]
    s.euros[final] = (s.usual(10) * 1.3 * s.greed)[final]


def _account_takeover(s: Scene, rows: Codes) -> None:
    """Somebody else has the customer's login: few, large remote payments from a strange device."""
    s.category[rows] = s.pick(("electronics", "gift_cards", "money_transfer", "online_retail", "airlines"), s.each(3))[
        rows
    ]
    s.euros[rows] = (s.usual(4, 0.8) * 0.9 * s.greed)[rows]
    s.kind[rows] = np.where(s.category == CATEGORY["money_transfer"], KIND["transfer"], KIND["purchase"])[rows]
    _online(s, rows, 6)
    s.entry_mode[rows] = np.where(s.each(7) < 0.6, ENTRY_MODE["stored_credential"], ENTRY_MODE["ecommerce"])[rows]


def _stolen_card(s: Scene, rows: Codes) -> None:
    """A lost or stolen card, tapped at shops around where it was lost, kept under the limit; later with the PIN."""
    kinds = ("groceries", "fuel", "fast_food", "pharmacy", "transport", "electronics", "clothing", "restaurants")
    s.category[rows] = s.pick(kinds, s.each(3))[rows]
    s.euros[rows] = np.minimum(s.usual(4, 0.6) * 1.1, CONTACTLESS_LIMIT * (0.55 + 0.44 * s.each(6)))[rows]
    s.channel[rows] = CHANNEL["contactless"]
    grave = rows[((s.severity >= 2) & (s.each(7) < 0.5))[rows]]
    s.category[grave] = s.pick(("cash", "electronics", "clothing"), s.each(8))[grave]
    s.euros[grave] = (s.usual(9, 0.5) * s.greed)[grave]
    machine = s.category[grave] == CATEGORY["cash"]
    s.channel[grave] = np.where(machine, CHANNEL["atm"], CHANNEL["chip"])
    s.kind[grave] = np.where(machine, KIND["withdrawal"], KIND["purchase"])


def _card_not_present(s: Scene, rows: Codes) -> None:
    """A leaked card number used remotely, over hours, for what the customer does not buy usually."""
    kinds = (
        "online_retail",
        "electronics",
        "clothing",
        "digital_goods",
        "jewelry",
        "gift_cards",
        "airlines",
        "lodging",
    )
    s.category[rows] = s.pick(kinds, s.each(3))[rows]
    s.euros[rows] = (s.usual(4, 0.8) * 0.9 * s.greed)[rows]
    _online(s, rows, 6)
    s.entry_mode[rows] = ENTRY_MODE["ecommerce"]
    by_phone = rows[(s.each(7) < 0.1)[rows]]
    s.channel[by_phone], s.entry_mode[by_phone] = CHANNEL["phone"], ENTRY_MODE["manual"]


def _cloned_card(s: Scene, rows: Codes) -> None:
    """A copied magnetic stripe: cash and goods easily sold, often in another city, while the owner pays at home."""
    s.category[rows] = s.pick(("cash", "cash", "cash", "fuel", "electronics", "jewelry", "clothing"), s.each(3))[rows]
    elsewhere = (s.common(4) * len(catalog.CITIES)).astype(np.uint8)
    s.city[rows] = np.where(s.common(5) < 0.7, elsewhere, s.city)[rows]
    s.euros[rows] = (s.usual(6, 0.6) * s.greed)[rows]
    machine = s.category[rows] == CATEGORY["cash"]
    striped = (s.each(8) < 0.55)[rows]
    s.channel[rows] = np.where(machine, CHANNEL["atm"], np.where(striped, CHANNEL["magstripe"], CHANNEL["chip"]))
    s.entry_mode[rows] = np.where(striped, ENTRY_MODE["magnetic_stripe"], ENTRY_MODE["icc"])
    s.kind[rows] = np.where(machine, KIND["withdrawal"], KIND["purchase"])


def _velocity_burst(s: Scene, rows: Codes) -> None:
    """As many payments of a usual size as the time until the block allows."""
    kinds = ("online_retail", "fast_food", "digital_goods", "groceries", "gift_cards", "fuel", "clothing", "transport")
    s.category[rows] = s.pick(kinds, s.common(3))[rows]
    s.choice[rows] = np.where(s.each(4) < 0.6, s.common(5), s.choice)[rows]
    s.euros[rows] = (s.usual(6, 0.6) * np.sqrt(s.greed))[rows]
    away = (s.common(8) < 0.5) | np.isin(s.category, [CATEGORY["online_retail"], CATEGORY["digital_goods"]])
    _at_terminal(s, rows, 9)
    _online(s, rows[away[rows]], 10)


def _impossible_travel(s: Scene, rows: Codes) -> None:
    """A card and its copy paying in turn in two cities that nobody travels between in that time."""
    kinds = ("groceries", "fuel", "restaurants", "clothing", "electronics", "fast_food", "pharmacy")
    s.category[rows] = s.pick(kinds, s.each(3))[rows]
    s.euros[rows] = (s.usual(4, 0.6) * np.sqrt(s.greed))[rows]
    far = np.where(s.common(6) < 0.5, s.common(7) * HOMES, s.common(7) * len(catalog.CITIES)).astype(np.uint8)
    s.city[rows] = np.where((s.step + (s.common(8) < 0.5)) % 2 == 0, far, s.city)[rows]
    _at_terminal(s, rows, 9)


def _merchant_collusion(s: Scene, rows: Codes) -> None:
    """A merchant in league with a ring runs many stolen cards through its own terminal, for round amounts."""
    world = s.world
    s.category[rows] = s.pick(("restaurants", "electronics", "home_improvement", "jewelry", "clothing"), s.common(3))[
        rows
    ]
    s.city[rows] = (s.common(4) * HOMES).astype(np.uint8)[rows]
    circle = (s.common(5) * max(4, world.merchants // 300)).astype(np.uint64)
    s.choice[rows] = uniform(circle, world.seed + 17)[rows]
    victims = world.customer_pool[(s.each(6) * len(world.customer_pool)).astype(np.int64)]
    s.card[rows] = world.card(victims, s.each(7))[rows]
    inflated = s.usual(8, 0.5) * 1.2 * s.greed
    s.euros[rows] = np.where(s.each(10) < 0.6, np.maximum(np.rint(inflated / 10) * 10, 10), inflated)[rows]
    keyed = s.each(11) < 0.35
    s.channel[rows] = np.where(keyed, CHANNEL["phone"], CHANNEL["chip"])[rows]


def _refund_abuse(s: Scene, rows: Codes) -> None:
    """Refunds without purchases, again and again from few merchants; the customer is in it, with their own device."""
    s.category[rows] = s.pick(("online_retail", "clothing", "electronics", "home_improvement"), s.common(3))[rows]
    s.choice[rows] = np.where(s.each(4) < 0.7, s.common(5), s.choice)[rows]
    s.euros[rows] = (s.usual(6, 0.6) * s.greed)[rows]
    s.kind[rows] = KIND["refund"]
    _online(s, rows, 8)
    s.own_device[rows] = True


def _structuring(s: Scene, rows: Codes) -> None:
    """Transfers and withdrawals kept just below a reporting threshold, day after day."""
    threshold = np.array([300.0, 500.0, 1000.0, 3000.0])[s.severity]
    s.category[rows] = s.pick(("money_transfer", "money_transfer", "cash"), s.common(3))[rows]
    spending = s.world.customer_spending[s.world.card_owner[s.card]]
    price = np.array([catalog.EUROS_TO[name] for name in catalog.CURRENCIES])[s.world.card_currency[s.card]]
    s.euros[rows] = (threshold * (0.90 + 0.098 * s.each(4)) * price / spending)[rows]
    s.exact[rows] = True
    machine = s.category[rows] == CATEGORY["cash"]
    s.kind[rows] = np.where(machine, KIND["withdrawal"], KIND["transfer"])
    _online(s, rows[~machine], 5)
    s.channel[rows[machine]] = CHANNEL["atm"]
    s.euros[rows[machine]] = (
        np.floor(s.euros[rows[machine]] * spending[rows[machine]] / 10) * 10 / spending[rows[machine]]
    )
    s.own_device[rows] = True


_PLAYS: Final[dict[str, Callable[[Scene, Codes], None]]] = {
    "card_testing": _card_testing,
    "account_takeover": _account_takeover,
    "stolen_card": _stolen_card,
    "card_not_present": _card_not_present,
    "cloned_card": _cloned_card,
    "velocity_burst": _velocity_burst,
    "impossible_travel": _impossible_travel,
    "merchant_collusion": _merchant_collusion,
    "refund_abuse": _refund_abuse,
    "structuring": _structuring,
}
