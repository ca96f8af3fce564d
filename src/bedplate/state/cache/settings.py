"""Settings of a cache."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from bedplate.settings.markers import Reloadable, Seconds, Section

__all__ = ["CacheSettings"]

Share = Annotated[float, Field(ge=0, le=1)]


class CacheSettings(Section):
    """How long a cache keeps what, and what it does when something is slow or away."""

    ttl: Annotated[Seconds, Field(gt=0)] = 300.0
    """Seconds that a value is fresh, at most."""

    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share by which the time is shortened at random, so that what was cached together does not end together."""

    stale: Annotated[Seconds, Field(ge=0)] = 0.0
    """Seconds after that in which the old value is served at once while a new one is computed in the background."""

    keep: Annotated[Seconds, Field(ge=0)] = 0.0
    """Seconds after that in which the old value is served when computing a new one fails or takes too long."""

    negative: Annotated[Seconds, Field(ge=0)] | None = None
    """Seconds that None, *there is no such thing*, is fresh; 0 not to cache it, None for as long as any value."""

    soft_timeout: Annotated[Seconds, Field(gt=0)] = 1.0
    """Seconds after which an old value is served, if there is one, while a new one is still being computed."""

    hard_timeout: Annotated[Seconds, Field(gt=0)] | None = None
    """Seconds after which callers that have no old value are told that it takes too long; None to let them wait."""

    give_up: Annotated[Seconds, Field(gt=0)] = 60.0
    """Seconds after which computing a value is cancelled, so that what hangs does not hang for ever."""

    retry: Annotated[Seconds, Field(gt=0)] = 5.0
    """Seconds in which an old value is served without trying again, after computing a new one failed."""

    longest: Annotated[Seconds, Field(gt=0)] = 86_400.0
    """Seconds that anything is kept at most, old values included."""

    store_timeout: Annotated[Seconds, Field(gt=0)] = 0.1
    """Seconds that the store may take; it counts as away after that, until it answers again."""

    lease: Annotated[Seconds, Field(ge=0.1)] = 3.0
    """Seconds after which others may compute a value whose computation ended with its process."""

    away_ttl: Annotated[Seconds, Field(gt=0)] = 30.0
    """Seconds that a value is served from memory without computing it anew while the store is away."""

    near_entries: Annotated[int, Field(ge=0, le=10_000_000)] = 10_000
    """Values that each process keeps in its own memory; 0 for none."""

    near_bytes: Annotated[int, Field(ge=0)] = 64 * 2**20
    """Bytes that they may take, approximately."""

    value_bytes: Annotated[int, Field(ge=1)] = 2**20
    """Bytes of a value's text; what is longer is not cached."""

    remembered: Annotated[int, Field(ge=1)] = 10_000
    """Invalidations remembered while the store is away; beyond them everything is dropped when it is back."""

    replay: Annotated[Seconds, Field(ge=0)] = 60.0
    """Seconds before an outage whose invalidations are done once more when the store is back: a server that took over,
    or was restored, may not have them."""

    patterns: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Patterns that are told apart once they are dropped; of more the oldest drops all that is older than itself."""

    hit_rate_warning: Annotated[Share, Reloadable()] = 0.7
    """Share of hits in the last operations below which one should look."""

    hit_rate_critical: Annotated[Share, Reloadable()] = 0.5
    """Share below which one must."""

    get_warning: Annotated[Seconds, Field(gt=0), Reloadable()] = 0.05
    """Seconds of a look into the store, of nineteen in twenty, above which one should look."""

    get_critical: Annotated[Seconds, Field(gt=0), Reloadable()] = 0.1
    """Seconds above which one must."""

    failed_warning: Annotated[Share, Reloadable()] = 0.05
    """Share of invalidations that fail, above which one should look."""

    failed_critical: Annotated[Share, Reloadable()] = 0.1
    """Share above which one must."""

    @model_validator(mode="after")
    def _fits(self) -> CacheSettings:
        if self.ttl + max(self.stale, self.keep) > self.longest:
            raise ValueError("ttl and stale or keep are together more than longest, after which nothing is kept")
        return self
