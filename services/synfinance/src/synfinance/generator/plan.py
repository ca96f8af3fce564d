"""Which frauds happen, to whom and when: planned for the whole run beforehand, in a few bytes an episode."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from synfinance.generator import catalog
from synfinance.generator.hashing import uniform
from synfinance.generator.population import Population
from synfinance.generator.season import Season

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE


@dataclass(frozen=True, slots=True)
class Pattern:
    """The length and pace of one kind of fraud."""

    lengths: tuple[tuple[int, int], ...]
    """Fewest and most transactions of an episode, for each severity from low to critical."""
    pause: tuple[int, int]
    """Shortest and longest time between two transactions, in milliseconds."""

    @property
    def longest(self) -> int:
        """No episode lasts longer, in milliseconds."""
        return self.lengths[-1][1] * self.pause[1]


PATTERNS: Final = {
    "card_testing": Pattern(((3, 6), (5, 9), (7, 13), (9, 18)), (8 * SECOND, 150 * SECOND)),
    "account_takeover": Pattern(((1, 2), (2, 3), (2, 5), (3, 6)), (2 * MINUTE, 50 * MINUTE)),
    "stolen_card": Pattern(((2, 4), (3, 6), (4, 8), (6, 10)), (2 * MINUTE, 30 * MINUTE)),
    "card_not_present": Pattern(((1, 2), (2, 3), (2, 4), (3, 6)), (10 * MINUTE, 14 * HOUR)),
    "cloned_card": Pattern(((1, 2), (2, 4), (3, 5), (4, 7)), (3 * MINUTE, 90 * MINUTE)),
    "velocity_burst": Pattern(((4, 7), (6, 10), (8, 14), (12, 20)), (15 * SECOND, 240 * SECOND)),
    "impossible_travel": Pattern(((2, 3), (2, 4), (3, 5), (4, 6)), (5 * MINUTE, 60 * MINUTE)),
    "merchant_collusion": Pattern(((4, 8), (6, 12), (10, 18), (15, 30)), (3 * MINUTE, 150 * MINUTE)),
    "refund_abuse": Pattern(((2, 3), (2, 4), (3, 6), (4, 8)), (1 * HOUR, 20 * HOUR)),
    "structuring": Pattern(((2, 3), (3, 4), (3, 6), (4, 7)), (3 * HOUR, 26 * HOUR)),
}
"""The pattern of each of ``FRAUD_TYPES``."""

STAGES: Final = 256
"""Transactions of an episode at most; their draws depend on the episode's key times this."""
_PAUSES: Final = 1
_SLAB: Final = 50_000
_SHORTEST: Final = np.array([PATTERNS[name].pause[0] for name in catalog.FRAUD_TYPES], dtype=np.float64)
_LOG_RANGE: Final = np.log([PATTERNS[name].pause[1] / PATTERNS[name].pause[0] for name in catalog.FRAUD_TYPES])
_LONGEST: Final = np.array([PATTERNS[name].longest for name in catalog.FRAUD_TYPES])


@dataclass(frozen=True, slots=True)
class Episodes:
    """Planned episodes, one array a property, ordered by start."""

    key: NDArray[np.uint64]
    """What the draws of the episode depend on."""
    kind: NDArray[np.uint8]
    """Index in ``FRAUD_TYPES``."""
    severity: NDArray[np.uint8]
    """Index in ``SEVERITIES``."""
    card: NDArray[np.uint32]
    start: NDArray[np.int64]
    """Milliseconds since 1970."""
    length: NDArray[np.uint8]
    """Number of transactions."""
    stretch: NDArray[np.float32]
    """Factor on all pauses, below 1 when the run is shorter than such episodes last."""

    def __len__(self) -> int:
        return len(self.key)

    def take(self, chosen: NDArray[Any] | slice) -> Self:
        """The episodes at these indices."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def near(self, begin: int, end: int) -> Self:
        """The episodes that may have transactions from ``begin`` to ``end`` (exclusive)."""
        longest = int(_LONGEST.max())
        return self.take(slice(*np.searchsorted(self.start, [begin - longest, end]).tolist()))


def schedule(
    key: NDArray[np.uint64], kind: NDArray[Any], length: NDArray[Any], stretch: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each transaction of these episodes: the episode's index, the place in it, milliseconds since its start."""
    episode = np.repeat(np.arange(len(key)), length)
    first = np.cumsum(length, dtype=np.int64) - length
    step = np.arange(len(episode)) - first[episode]
    draw = uniform(key[episode] * np.uint64(STAGES) + step.astype(np.uint64), _PAUSES)
    pause = _SHORTEST[kind][episode] * np.exp(_LOG_RANGE[kind][episode] * draw) * stretch[episode]
    passed = np.cumsum(np.where(step == 0, 0, pause.astype(np.int64)))
    return episode, step, passed - passed[first][episode] if len(key) else passed


def _durations(
    key: NDArray[np.uint64], kind: NDArray[Any], length: NDArray[Any], stretch: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Milliseconds from the first transaction of each episode to its last."""
    durations = np.zeros(len(key), np.int64)
    for begin in range(0, len(key), _SLAB):
        part = slice(begin, begin + _SLAB)
        _, _, offset = schedule(key[part], kind[part], length[part], stretch[part])
        durations[part] = offset[np.cumsum(length[part]) - 1]
    return durations


def plan(world: Population, season: Season, rng: np.random.Generator, count: int, types: tuple[str, ...]) -> Episodes:
    """Plan episodes of these types that have exactly ``count`` transactions in all, each within the season."""
    low = np.array([[low for low, _ in PATTERNS[name].lengths] for name in catalog.FRAUD_TYPES])
    high = np.array([[high for _, high in PATTERNS[name].lengths] for name in catalog.FRAUD_TYPES])
    codes = np.array(sorted(catalog.FRAUD_TYPES.index(name) for name in set(types)), dtype=np.uint8)
    # Every episode has at least one transaction, so `count` episodes are enough. Most draws are cut off again.
    drawn = max(1, min(count, count // 3 + 64)) if count else 0
    kind, severity, length = (np.empty(0, np.int64),) * 3
    while length.sum() < count:
        kind = np.concatenate([kind, codes[rng.integers(0, len(codes), drawn)]])
        severity = np.concatenate([severity, rng.choice(len(low[0]), drawn, p=catalog.SEVERITY_WEIGHTS)])
        fewest, most = low[kind, severity][-drawn:], high[kind, severity][-drawn:]
        length = np.concatenate([length, fewest + (rng.random(drawn) * (most - fewest + 1)).astype(np.int64)])
    total = np.cumsum(length)
    episodes = int(np.searchsorted(total, count)) + 1 if count else 0
    kind, severity, length = kind[:episodes], severity[:episodes], length[:episodes].copy()
    if episodes:
        length[-1] -= total[episodes - 1] - count

    span = season.end - season.start
    stretch = np.minimum(1.0, 0.8 * span / _LONGEST[kind]).astype(np.float32)
    key = rng.integers(0, 2**63, episodes, dtype=np.uint64)
    latest = season.end - 1 - _durations(key, kind, length, stretch)
    start = np.where(rng.random(episodes) < 0.7, season.time_at(rng.random(episodes)), season.end)
    # Some frauds keep no hours, and those that would outlast the season begin at any time at which they do not.
    anytime = season.start + (rng.random(episodes) * (latest - season.start)).astype(np.int64)
    start = np.where(start > latest, anytime, start)
    victims = world.customer_pool[(rng.random(episodes) * len(world.customer_pool)).astype(np.int64)]
    return Episodes(
        key=key,
        kind=kind.astype(np.uint8),
        severity=severity.astype(np.uint8),
        card=world.card(victims, rng.random(episodes)),
        start=start,
        length=length.astype(np.uint8),
        stretch=stretch,
    ).take(np.argsort(start, kind="stable"))
