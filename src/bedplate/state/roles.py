"""What may be kept where: a cache's store forgets, and some things must not be forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.problems import Refusal
from bedplate.state.store import Store

__all__ = ["forgetful"]


def forgetful(label: str, store: Store, what: str) -> Iterator[Refusal]:
    """Yield why something may not be kept in a store that throws away what was used longest ago.

    :param label: the component. :param what: what it keeps: ``locks``.
    """
    if getattr(store, "role", "state") == "cache":
        yield Refusal(
            label,
            f"it keeps {what} in {store.spec.label}, a cache's store, which forgets them when it is full.",
            'Give it a store of its own with role="state".',
        )
