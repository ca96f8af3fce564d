"""Whether a primitive's store is there: said to people in one way by all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from bedplate.component import Host, Spec
from bedplate.metric import Gauge
from bedplate.state.store import Store

__all__ = ["Reach", "reaches", "unless_reached"]


class Reaching(Protocol):
    """A primitive that does its work in a store."""

    @property
    def running(self) -> bool:
        """Whether it runs in this process."""
        ...

    @property
    def store(self) -> Store:
        """Where it keeps what it knows."""
        ...


def unless_reached(primitive: Reaching, what: str) -> Callable[[], str | None]:
    """Return what says why an action of a primitive cannot be pressed now: it does not run, or its store is away.

    :param what: what people call it, in the plural: ``Locks``.
    """

    def refused() -> str | None:
        if not primitive.running:
            return f"{what} do not run in this process."
        return None if primitive.store.available else "The store is away."

    return refused


def reaches(name: str, labels: Mapping[str, int]) -> Gauge:
    """Return the gauge of a primitive's degradation."""
    return Gauge(name, "Whether every process reaches its store (1) or one does not (0).", labels, merge="min")


class Reach:
    """Shows what a spec's degradation promises to show: the gauge and the component's state.

    :param alone: why the component is degraded also with its store: a store in each of several processes.
    """

    def __init__(self, host: Host, spec: Spec, *, alone: str = "") -> None:
        assert spec.degradation is not None and spec.degradation.gauge is not None
        self._host = host
        self._degradation = spec.degradation
        self._gauge = host.bind(spec.degradation.gauge)
        store = next((one for one in spec.needs if isinstance(one, Store)), None)
        self._alone = None if store is None or store.shared or host.alone else alone or None

    def show(self, available: bool, why: str = "") -> None:
        """Say whether the store is there.

        :param why: what is known of its absence, beside the declared promise: a sentence or more.
        """
        self._gauge.set(self._degradation.value(available))
        if available:
            self._host.degraded(self._alone)
        else:
            self._host.degraded(f"{self._degradation.reason} {self._degradation.summary} {why}".rstrip())
