"""The instruments of a cache while it runs, and the thresholds that settings may change meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any

from bedplate.settings import Settings, SettingsReloader
from bedplate.state.cache.metrics import (
    BYTES,
    COMPUTATIONS,
    DURATION,
    ENTRIES,
    EVICTIONS,
    FAILED_LIMIT,
    GET_LIMIT,
    HIT_LIMIT,
    INVALIDATIONS,
    KEY_REQUESTS,
    RECENT,
    RECENT_REQUESTS,
    REMEMBERED,
    REQUESTS,
    UNKEPT,
)
from bedplate.state.cache.settings import CacheSettings
from bedplate.state.cache.stats import OUTCOMES, Mirror, Stats
from bedplate.telemetry.metrics.windows import Window

if TYPE_CHECKING:
    from bedplate.component import Host
    from bedplate.state.cache.shelf import Shelf

__all__ = ["Meters"]

_RESULTS = {"near": "hit", "store": "hit", "stale": "hit", "miss": "miss"}
_UNKEPT = frozenset(("unstorable", "too_large", "outdated", "refused"))


class Meters:
    """Counts that become metrics.

    :ivar invalidations: how many there were since the last reset, and how many of them failed.
    :ivar since: the Unix time of the last reset.
    """

    def __init__(self, host: Host, stats: Stats, settings: CacheSettings, section: str) -> None:
        self._host = host
        self._stats = stats
        self._section = section
        self._settings = settings
        self._outcomes = {outcome: host.bind(REQUESTS, outcome=outcome) for outcome in OUTCOMES}
        self._mirror = Mirror(self._counter)
        self._durations = {name: host.bind(DURATION, operation=name) for name in ("get", "set", "delete")}
        self._entries, self._bytes = host.bind(ENTRIES), host.bind(BYTES)
        self._evictions, self._evicted = host.bind(EVICTIONS), 0
        self._recent, self._remembered = host.bind(RECENT), host.bind(REMEMBERED)
        self._window = {result: host.bind(RECENT_REQUESTS, result=result) for result in ("hit", "miss")}
        self._ends: list[Callable[[], None]] = []
        self.invalidations = {"total": 0, "failed": 0, "key": 0, "tag": 0, "pattern": 0, "all": 0}
        self.window: Window[str] = Window(60.0, clock=host.clock.monotonic)
        self.since = time()

    def begin(self) -> None:
        """Show what there is to begin with, and follow the settings."""
        self._show_limits(self._settings)
        for view in self._host.components:
            if isinstance(view.component, SettingsReloader):
                self._ends.append(view.component.subscribe(self._reloaded))

    def end(self) -> None:
        """Follow no more, and show what was counted last."""
        for one in self._ends:
            one()
        self._mirror.carry(self._stats)

    def timed(self, operation: str, seconds: float) -> None:
        """Note how long the store took."""
        self._durations[operation].observe(seconds)
        self._stats.times[operation].add(seconds)

    def computed(self, outcome: str) -> None:
        """Count what became of a computation, or of keeping its value."""
        if outcome in _UNKEPT:
            self._host.bind(UNKEPT, reason=outcome).inc()
        else:
            self._host.bind(COMPUTATIONS, outcome=outcome).inc()

    def invalidated(self, keys: int, tags: int, pattern: str, *, done: bool) -> None:
        """Count invalidations."""
        kinds = {"key": keys, "tag": tags, "all" if pattern == "*" else "pattern": int(bool(pattern))}
        for kind, count in kinds.items():
            if count:
                self._host.bind(INVALIDATIONS, kind=kind, outcome="done" if done else "failed").inc(float(count))
                self.invalidations["total"] += count
                self.invalidations[kind] += count
                self.invalidations["failed"] += 0 if done else count
                self.window.add("all", count)

    def show(self, shelf: Shelf) -> None:
        """Show what was counted since the last call."""
        self._mirror.carry(self._stats)
        self._entries.set(float(len(shelf.near)))
        self._bytes.set(float(shelf.near.size))
        self._evictions.inc(float(shelf.near.dropped - self._evicted))
        self._evicted = shelf.near.dropped
        self._remembered.set(float(len(shelf.remembered)))
        hits, misses = self._stats.window()
        self._recent.ratio(float(hits), float(hits + misses))
        self._window["hit"].set(float(hits))
        self._window["miss"].set(float(misses))

    def reset(self) -> None:
        """Forget what was counted here; metrics go on, as counters do."""
        self._mirror.carry(self._stats)
        self._stats.reset()
        self._mirror.forget()
        self.invalidations = dict.fromkeys(self.invalidations, 0)
        self.window.reset()
        self.since = time()

    def _counter(self, pattern: str, outcome: str) -> Callable[[float], None]:
        total = self._outcomes[outcome].inc
        result = _RESULTS.get(outcome)
        if result is None:
            return total
        by_key = self._host.bind(KEY_REQUESTS, pattern=pattern, result=result).inc

        def both(amount: float) -> None:
            total(amount)
            by_key(amount)

        return both

    def _reloaded(self, old: Settings, new: Settings, changed: frozenset[str]) -> None:
        if any(name.startswith(f"{self._section}.") for name in changed):
            found: Any = new.section(CacheSettings, self._section)
            self._show_limits(found)

    def _show_limits(self, settings: CacheSettings) -> None:
        for severity in ("warning", "critical"):
            for metric, name in ((HIT_LIMIT, "hit_rate"), (GET_LIMIT, "get"), (FAILED_LIMIT, "failed")):
                self._host.bind(metric, severity=severity).set(float(getattr(settings, f"{name}_{severity}")))
