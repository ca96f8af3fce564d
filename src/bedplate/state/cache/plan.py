"""How one function's values, or one value, are cached."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.problems import DeclarationError

if TYPE_CHECKING:
    from bedplate.state.cache.codec import Codec
    from bedplate.state.cache.settings import CacheSettings

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """See :class:`~bedplate.state.cache.settings.CacheSettings`; times in seconds."""

    codec: Codec
    ttl: float
    stale: float
    keep: float
    negative: float | None
    jitter: float
    soft_timeout: float
    hard_timeout: float | None
    retry: float

    @classmethod
    def of(cls, settings: CacheSettings, codec: Codec, **changes: Any) -> Plan:
        """Return the plan of a cache with what is said otherwise for one function.

        :raises DeclarationError: when a time is negative, or all together longer than anything is kept.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        names = ("ttl", "stale", "keep", "negative", "jitter", "soft_timeout", "hard_timeout", "retry")
        plan = cls(codec, **{name: given.get(name, getattr(settings, name)) for name in names})
        if plan.ttl <= 0 or min(plan.stale, plan.keep, plan.jitter) < 0 or plan.jitter >= 1:
            raise DeclarationError(f"A value cannot be cached for {plan.ttl:g} s like this.", "Give positive times.")
        if plan.ttl + max(plan.stale, plan.keep) > settings.longest:
            what = f"ttl {plan.ttl:g} s and what comes after it are more than the {settings.longest:g} s of `longest`."
            raise DeclarationError(what, "Shorten it, or raise `longest` in the settings of the cache.")
        return plan

    def lifetime(self, value: Any) -> tuple[float, float]:
        """Return for how long a value is fresh, and for how long it is kept."""
        ttl = self.ttl if value is not None or self.negative is None else self.negative
        if self.jitter:
            # Shorter, never longer: what somebody promised as the longest time stays one.
            ttl *= 1 - self.jitter * random.random()
        return ttl, ttl + max(self.stale, self.keep)
