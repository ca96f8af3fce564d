"""What a rate limit was told, for both ways in which it can count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.types import Scope

from bedplate.state.limits.keys import Key
from bedplate.state.limits.limit import Limit

__all__ = ["Cost", "Keyed", "Terms"]

#: Whom to count: a key, or one for each limit by its name.
Keyed = str | Mapping[str, str]

#: What a request costs: units, or a function of its scope.
Cost = int | Callable[[Scope], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """See :class:`~bedplate.state.limits.RateLimit`, whose arguments these are."""

    name: str
    limits: tuple[Limit, ...]
    key: Key
    keys: Mapping[str, Key] | None
    cost: Cost
    paths: tuple[str, ...]
    exempt: frozenset[str]
    methods: frozenset[str]
    capacity: int
    shadow: bool

    @property
    def most(self) -> int:
        """Units that may be asked for at once."""
        return min(limit.burst for limit in self.limits)

    @property
    def everywhere(self) -> bool:
        """Whether all paths and methods are limited, but for those that are exempt."""
        return self.paths == ("/",) and not self.methods

    def selects(self, scope: Scope) -> bool:
        """Whether a request is limited."""
        path: str = scope["path"]
        root = scope.get("root_path")
        if root:
            path = path.removeprefix(root)
        if path in self.exempt:
            return False
        if self.methods and scope.get("method", "GET") not in self.methods:
            return False
        return path.startswith(self.paths)

    def key_of(self, scope: Scope) -> Keyed | None:
        """Return whom a request is counted as; None when no limit applies."""
        if self.keys is None:
            return self.key(scope)
        return {name: key for name, by in self.keys.items() if (key := by(scope)) is not None} or None

    def checked(self, cost: int) -> int:
        """Return the cost.

        :raises ValueError: when it is negative, or more than a limit allows at once, which would never pass.
        """
        if not 0 <= cost <= self.most:
            raise ValueError(f"A cost of {cost} can never pass {self.name}; it may be 0 to {self.most}.")
        return cost
