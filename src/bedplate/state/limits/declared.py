"""What a rate limit declares of itself, and what of its terms cannot be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bedplate.component import Spec
from bedplate.declarations import Probe, Runbook
from bedplate.degradation import Degradation
from bedplate.problems import DeclarationError
from bedplate.state.limits.metrics import (
    DECISIONS,
    DEGRADED,
    ERRORS,
    FORGOTTEN,
    INSTANCES,
    KEYS,
    LOCAL,
    REFUSALS,
    alerts,
    panels,
    shared_panels,
)
from bedplate.state.limits.terms import Terms
from bedplate.state.store import Store

__all__ = ["RateLimitSettings", "by_limit", "declared", "in_process"]

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))


class RateLimitSettings(BaseModel):
    """What a rate limit enforces, for people."""

    model_config = ConfigDict(frozen=True)

    limits: tuple[str, ...]
    """Each as units in seconds."""

    capacity: int
    """Keys kept in memory at most."""

    paths: tuple[str, ...]
    """Prefixes of the paths that are limited."""

    exempt: tuple[str, ...]
    """Paths that are not."""

    methods: tuple[str, ...]
    """Methods that are limited; empty for all."""

    strategies: tuple[str, ...] = ()
    """How each limit counts, where that is not told by default."""

    shadow: bool = False
    """Whether it only counts what it would refuse."""


def declared(terms: Terms, store: Store | None, probe: Callable[[], Awaitable[str | None]]) -> Spec:
    """Return the spec."""
    settings = RateLimitSettings(
        limits=tuple(map(str, terms.limits)),
        capacity=terms.capacity,
        paths=terms.paths,
        exempt=tuple(sorted(terms.exempt)),
        methods=tuple(sorted(terms.methods)),
        strategies=() if store is None else tuple(limit.strategy for limit in terms.limits),
        shadow=terms.shadow,
    )
    if store is None:
        return Spec(
            kind="rate_limit",
            name=terms.name,
            summary="Refuses clients that ask too often.",
            settings=settings,
            degradation=Degradation(
                policy="limit",
                summary="Every process counts for itself; clients beyond what it may remember start anew.",
            ),
            metrics=(DECISIONS, KEYS, FORGOTTEN),
            panels=panels(),
        )
    return Spec(
        kind="rate_limit",
        name=terms.name,
        summary="Refuses clients that ask too often, whichever instance they ask.",
        needs=(store,),
        settings=settings,
        scope="cluster" if store.shared else "process",
        degradation=Degradation(
            policy="limit",
            summary="Each instance lets its part of every quota through; no request fails.",
            gauge=DEGRADED(rate_limit=terms.name),
            alert="RateLimitDegraded",
        ),
        metrics=(DECISIONS, REFUSALS, LOCAL, ERRORS, INSTANCES, KEYS, FORGOTTEN),
        probes=(Probe(name="store", check=probe, summary="It can ask its store.", critical=False, timeout=5.0),),
        alerts=alerts(terms.name),
        panels=(*panels(), *shared_panels(terms.name)),
        runbook=_RUNBOOK,
    )


def in_process(terms: Terms) -> None:
    """Refuse what only a store can count.

    :raises DeclarationError: when there is such a limit.
    """
    windowed = next((limit for limit in terms.limits if limit.windowed), None)
    mend = "Give it a store; Memory() is one in the process."
    if windowed is not None:
        raise DeclarationError(f"Rate limit {terms.name} counts by {windowed.strategy} and has no store.", mend)
    if terms.keys is not None:
        raise DeclarationError(f"Rate limit {terms.name} has a key for each limit and no store.", mend)


def by_limit(terms: Terms) -> None:
    """Refuse keys that are not of exactly the limits.

    :raises DeclarationError: when there are such keys.
    """
    known = {limit.name for limit in terms.limits}
    if terms.keys is not None and set(terms.keys) != known:
        raise DeclarationError(
            f"Rate limit {terms.name} has keys for {sorted(terms.keys)}, and limits named {sorted(known)}.",
            "Give a key for each limit, by its name.",
        )
