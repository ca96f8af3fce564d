"""What the synthetic world is made of: categories of trade, cities, cards, channels and names.

Orders of magnitude follow what central banks and card schemes publish about European card payments; none of the figures
is a measurement of a particular market.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np


@dataclass(frozen=True, slots=True)
class Category:
    """A category of trade and how people spend in it."""

    name: str
    mcc: int
    """Merchant category code, ISO 18245."""
    weight: float
    """Relative number of transactions."""
    median: float
    """Median amount, in euros."""
    spread: float
    """Standard deviation of the logarithm of the amount."""
    online: float
    """Share of transactions made remotely."""
    hours: str
    """Name of a daily profile in :data:`DAILY_PROFILES`."""
    noun: str
    """What its merchants call themselves."""


CATEGORIES: Final = (
    Category("groceries", 5411, 21.0, 24.0, 0.85, 0.06, "shop", "Market"),
    Category("restaurants", 5812, 10.0, 31.0, 0.70, 0.08, "evening", "Kitchen"),
    Category("fast_food", 5814, 12.0, 9.5, 0.55, 0.20, "meals", "Grill"),
    Category("fuel", 5541, 6.5, 48.0, 0.50, 0.00, "commute", "Fuels"),
    Category("transport", 4111, 11.0, 4.2, 0.80, 0.35, "commute", "Transit"),
    Category("online_retail", 5964, 9.0, 33.0, 0.95, 1.00, "evening", "Store"),
    Category("electronics", 5732, 2.2, 120.0, 1.10, 0.50, "shop", "Electronics"),
    Category("clothing", 5651, 4.0, 46.0, 0.75, 0.40, "shop", "Clothing"),
    Category("pharmacy", 5912, 3.4, 14.0, 0.70, 0.05, "shop", "Pharmacy"),
    Category("lodging", 7011, 1.2, 145.0, 0.75, 0.55, "evening", "Hotel"),
    Category("airlines", 4511, 0.7, 210.0, 0.80, 0.97, "evening", "Air"),
    Category("entertainment", 7832, 3.0, 21.0, 0.70, 0.40, "evening", "Cinema"),
    Category("digital_goods", 5816, 4.5, 6.5, 1.00, 1.00, "evening", "Games"),
    Category("utilities", 4900, 2.2, 62.0, 0.60, 0.92, "office", "Energy"),
    Category("health", 8011, 1.6, 52.0, 0.90, 0.08, "office", "Clinic"),
    Category("home_improvement", 5200, 2.3, 41.0, 1.00, 0.18, "shop", "Hardware"),
    Category("jewelry", 5944, 0.5, 110.0, 1.05, 0.25, "shop", "Jewellers"),
    Category("gift_cards", 5947, 0.7, 35.0, 0.75, 0.55, "shop", "Gifts"),
    Category("cash", 6011, 2.7, 70.0, 0.75, 0.00, "shop", "Bank ATM"),
    Category("money_transfer", 4829, 1.5, 130.0, 1.15, 0.90, "office", "Transfer"),
)
CATEGORY: Final = {category.name: code for code, category in enumerate(CATEGORIES)}
"""Code of each category by its name."""


def _bumps(*peaks: tuple[float, float, float]) -> tuple[float, ...]:
    """A daily profile: a low floor and a bump for each (hour, width in hours, height)."""
    hours = np.arange(24) + 0.5
    profile = np.full(24, 0.06)
    for hour, width, height in peaks:
        distance = np.minimum(np.abs(hours - hour), 24 - np.abs(hours - hour))
        profile += height * np.exp(-0.5 * (distance / width) ** 2)
    return tuple(float(value) for value in profile / profile.sum())


DAILY_PROFILES: Final = {
    "shop": _bumps((11.5, 2.2, 1.0), (17.5, 2.0, 1.1)),
    "evening": _bumps((12.8, 1.5, 0.5), (20.2, 2.4, 1.3)),
    "meals": _bumps((8.3, 1.2, 0.6), (12.6, 1.1, 1.2), (18.8, 1.5, 0.8)),
    "commute": _bumps((7.8, 1.1, 1.2), (17.4, 1.5, 1.2)),
    "office": _bumps((10.5, 2.0, 1.0), (15.0, 2.2, 0.9)),
}
"""Share of a day's transactions in each hour, by the name of the profile."""
WEEKDAY_WEIGHTS: Final = (0.95, 0.95, 0.98, 1.02, 1.16, 1.14, 0.80)
"""Relative number of transactions, Monday to Sunday."""
MONTH_WEIGHTS: Final = (0.94, 0.93, 0.98, 0.98, 1.01, 1.00, 1.02, 0.99, 0.99, 1.00, 1.06, 1.18)
"""Relative number of transactions, January to December."""
PAYDAY_LIFT: Final = 1.14
"""Factor on the 25th and the five days after it."""


@dataclass(frozen=True, slots=True)
class City:
    """A city: where customers live and merchants trade, or where they only travel to."""

    name: str
    country: str
    currency: str
    latitude: float
    longitude: float
    weight: float
    """Relative number of inhabitants among the customers; 0 for a destination only."""


CITIES: Final = (
    City("London", "GB", "GBP", 51.507, -0.128, 9.0),
    City("Birmingham", "GB", "GBP", 52.486, -1.890, 2.6),
    City("Manchester", "GB", "GBP", 53.481, -2.242, 2.8),
    City("Glasgow", "GB", "GBP", 55.864, -4.252, 1.7),
    City("Dublin", "IE", "EUR", 53.350, -6.260, 2.0),
    City("Paris", "FR", "EUR", 48.857, 2.352, 8.0),
    City("Lyon", "FR", "EUR", 45.764, 4.836, 2.2),
    City("Marseille", "FR", "EUR", 43.296, 5.370, 1.8),
    City("Berlin", "DE", "EUR", 52.520, 13.405, 5.0),
    City("Hamburg", "DE", "EUR", 53.551, 9.994, 2.6),
    City("Munich", "DE", "EUR", 48.135, 11.582, 2.4),
    City("Cologne", "DE", "EUR", 50.938, 6.960, 1.9),
    City("Amsterdam", "NL", "EUR", 52.368, 4.904, 2.3),
    City("Brussels", "BE", "EUR", 50.850, 4.352, 1.9),
    City("Madrid", "ES", "EUR", 40.417, -3.704, 4.6),
    City("Barcelona", "ES", "EUR", 41.385, 2.173, 3.2),
    City("Lisbon", "PT", "EUR", 38.722, -9.139, 1.9),
    City("Milan", "IT", "EUR", 45.464, 9.190, 3.4),
    City("Rome", "IT", "EUR", 41.903, 12.496, 3.6),
    City("Vienna", "AT", "EUR", 48.208, 16.374, 2.2),
    City("Zurich", "CH", "CHF", 47.377, 8.541, 1.4),
    City("Stockholm", "SE", "SEK", 59.329, 18.069, 1.8),
    City("Copenhagen", "DK", "DKK", 55.676, 12.568, 1.6),
    City("Warsaw", "PL", "PLN", 52.230, 21.012, 2.6),
    City("Krakow", "PL", "PLN", 50.065, 19.945, 1.2),
    City("New York", "US", "USD", 40.713, -74.006, 0.0),
    City("Miami", "US", "USD", 25.762, -80.192, 0.0),
    City("Istanbul", "TR", "TRY", 41.008, 28.978, 0.0),
    City("Dubai", "AE", "AED", 25.205, 55.271, 0.0),
    City("Bangkok", "TH", "THB", 13.756, 100.502, 0.0),
    City("Singapore", "SG", "SGD", 1.352, 103.820, 0.0),
    City("Lagos", "NG", "NGN", 6.524, 3.379, 0.0),
    City("Sao Paulo", "BR", "BRL", -23.551, -46.633, 0.0),
    City("Mexico City", "MX", "MXN", 19.433, -99.133, 0.0),
)
EUROS_TO: Final = {"EUR": 1.0, "GBP": 0.86, "CHF": 0.95, "SEK": 11.2, "DKK": 7.46, "PLN": 4.3}
"""Rough price level of the currencies that cards are billed in, per euro. All of them have two decimals."""
CURRENCIES: Final = tuple(EUROS_TO)

AGE_BANDS: Final = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
AGE_WEIGHTS: Final = (0.13, 0.21, 0.20, 0.18, 0.14, 0.14)
AGE_ONLINE: Final = (1.35, 1.30, 1.15, 0.95, 0.80, 0.60)
"""Factor on the share of remote purchases, by age band."""

CARD_TYPES: Final = ("debit", "credit", "prepaid")
CARD_TYPE_WEIGHTS: Final = (0.62, 0.32, 0.06)
CARD_NETWORKS: Final = ("visa", "mastercard", "amex")
CARD_NETWORK_WEIGHTS: Final = (0.52, 0.42, 0.06)

CHANNELS: Final = ("chip", "contactless", "magstripe", "atm", "online", "in_app", "phone", "recurring")
CHANNEL: Final = {name: code for code, name in enumerate(CHANNELS)}
ENTRY_MODES: Final = ("icc", "nfc", "magnetic_stripe", "ecommerce", "stored_credential", "manual")
ENTRY_MODE: Final = {name: code for code, name in enumerate(ENTRY_MODES)}
KINDS: Final = ("purchase", "refund", "withdrawal", "transfer")
KIND: Final = {name: code for code, name in enumerate(KINDS)}

FRAUD_TYPES: Final = (
    "card_testing",
    "account_takeover",
    "stolen_card",
    "card_not_present",
    "cloned_card",
    "velocity_burst",
    "impossible_travel",
    "merchant_collusion",
    "refund_abuse",
    "structuring",
)
"""Kinds of fraud that :mod:`synfinance.generator.episodes` can play."""
SEVERITIES: Final = ("low", "medium", "high", "critical")
SEVERITY_WEIGHTS: Final = (0.34, 0.36, 0.20, 0.10)

MERCHANT_NAMES: Final = (
    "Alder", "Amber", "Anchor", "Aspen", "Beacon", "Birch", "Bridge", "Cedar", "Cobalt", "Copper", "Coral", "Crown",
    "Delta", "Drift", "Eagle", "Ember", "Falcon", "Fern", "Flint", "Garnet", "Granite", "Grove", "Harbour", "Hazel",
    "Heron", "Indigo", "Iris", "Ivory", "Jade", "Juniper", "Kestrel", "Lantern", "Larch", "Linden", "Lotus", "Maple",
    "Marble", "Meadow", "Mint", "Nimbus", "Nova", "Oak", "Onyx", "Opal", "Orchid", "Otter", "Pearl", "Pine", "Quartz",
    "Raven", "River", "Rowan", "Ruby", "Saffron", "Sage", "Silver", "Slate", "Sparrow", "Summit", "Tern", "Thistle",
    "Topaz", "Umber", "Violet", "Willow", "Wren", "Yarrow", "Zephyr",
)  # fmt: skip
"""First words of the merchants' names."""
