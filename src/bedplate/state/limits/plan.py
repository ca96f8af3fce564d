"""What to ask a store of some limits: keys and arguments, made ready once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import sha256

from starlette.types import Scope

from bedplate.problems import DeclarationError
from bedplate.state.limits.answers import Answers
from bedplate.state.limits.limit import Limit
from bedplate.state.limits.operations import CHARGES, LOOKS, TAKES
from bedplate.state.limits.terms import Keyed, Terms

__all__ = ["SECOND", "Asked", "Plan", "Plans", "pace"]

#: Times are in µs.
SECOND = 1_000_000

#: Lua's numbers are exact up to 2⁵³; debts reach twice a full burst.
_EXACT = 2**51
#: Below this many ticks a µs, rounding would slow the refilling by more than a hundredth.
_FINE = 100
#: In how many slices a sliding window moves on.
SLICES = 12
#: Longer keys are named by a digest: callers choose them, and pay nothing for the memory.
_LONG = 200

_KINDS = {"gcra": 1, "token_bucket": 1, "fixed_window": 2, "sliding_window": 3}


def pace(limit: Limit) -> tuple[int, int, int]:
    """Return ticks of debt a unit, ticks that are paid back in a µs, and the most ticks that may be owed.

    Whole numbers whose quotient is the quota a window, exactly as a rule; where they would be too large for Lua,
    refilling is at most a hundredth slower.

    :raises DeclarationError: when it would be slower than that.
    """
    rate = Fraction(limit.quota, max(1, round(limit.window * 1_000_000)))
    ticks, paid = rate.denominator, rate.numerator
    if limit.burst * ticks > _EXACT:
        ticks = max(1, _EXACT // limit.burst)
        paid = int(rate * ticks)
        if paid < _FINE or limit.burst > _EXACT:
            raise DeclarationError(
                f"Limit {limit.name} allows {limit.burst} at once, and is too large to be counted exactly.",
                "Count in a greater unit, or give a smaller burst.",
            )
    return ticks, paid, limit.burst * ticks


def _numbers(limit: Limit) -> tuple[int, int, int, int]:
    kind = _KINDS[limit.strategy]
    if kind == 1:
        return (kind, *pace(limit))
    if limit.quota > _EXACT:
        raise DeclarationError(f"Limit {limit.name} is too large to be counted exactly.", "Count in a greater unit.")
    window = max(1, round(limit.window * 1_000_000))
    return kind, window, limit.quota, -(-window // SLICES)


class Plan:
    """Some limits that are asked together.

    Keys are ``<service>:rate_limit:{<name>:<key>}:<limit>``: what belongs to one key is in one slot of a cluster. Where
    limits have keys of their own, it is ``…:{<name>}:<limit>:<key>``, all in one slot. What a limit allows is part of
    its key, so that two versions of a service never misread each other.

    :param root: ``<service>:rate_limit:``. :param name: of the rate limit.
    :param numbers: of these limits among all.
    :raises DeclarationError: when a limit is too large to be counted exactly.
    """

    __slots__ = ("_before", "_end", "_ends", "_most", "_numbers", "_opening", "answers", "limits", "numbers", "one")

    def __init__(self, limits: Sequence[Limit], numbers: Sequence[int], root: str, name: str) -> None:
        self.limits = tuple(limits)
        self.numbers = tuple(numbers)
        self.answers = Answers(self.limits, SECOND)
        self._most = 2 * max(limit.burst for limit in self.limits)
        ends = [f"{limit.name}:{limit.strategy}:{limit.quota}/{limit.window:g}/{limit.burst}" for limit in limits]
        self._opening = f"{root}{{{name}:"
        self._before = tuple(f"{root}{{{name}}}:{end}:" for end in ends)
        self._ends = tuple(f"}}:{end}" for end in ends)
        self._end = self._ends[0] if len(self._ends) == 1 else None
        self._numbers = " ".join(str(number) for limit in limits for number in _numbers(limit))
        #: The arguments that take one unit.
        self.one = (f"{TAKES} 1 {self._numbers}",)

    def keys(self, key: str) -> Sequence[str]:
        """Return the keys of a caller."""
        if len(key) > _LONG:
            key = _digest(key)
        if self._end is not None:
            return (f"{self._opening}{key}{self._end}",)
        start = self._opening + key
        return [start + end for end in self._ends]

    def own_keys(self, keys: Mapping[str, str]) -> Sequence[str]:
        """Return the keys where each limit has one of its own, by the limit's name."""
        found = [keys[limit.name] for limit in self.limits]
        return [
            before + (key if len(key) <= _LONG else _digest(key))
            for before, key in zip(self._before, found, strict=True)
        ]

    def take(self, cost: int) -> tuple[str]:
        """Return the arguments that take units or refuse."""
        return self.one if cost == 1 else (f"{TAKES} {cost} {self._numbers}",)

    def charge(self, cost: int) -> tuple[str]:
        """Return the arguments that charge units, whatever is left; more than anybody can owe is as good as that."""
        cost = max(-self._most, min(cost, self._most))
        return (f"{CHARGES} {cost} {self._numbers}",)

    def look(self, cost: int) -> tuple[str]:
        """Return the arguments that only look."""
        return (f"{LOOKS} {cost} {self._numbers}",)


class Asked:
    """Whom a question is of.

    :ivar keys: in the store, one a limit. :ivar name: under which a refusal is remembered.
    """

    __slots__ = ("keys", "name", "plan")

    def __init__(self, plan: Plan, keys: Sequence[str], name: str) -> None:
        self.plan, self.keys, self.name = plan, keys, name


class Plans:
    """The plans of a rate limit: one for all its limits, and further ones where some do not apply.

    :raises DeclarationError: when a limit is too large to be counted exactly.
    """

    def __init__(self, terms: Terms, service: str) -> None:
        self._terms = terms
        self.root = f"{service}:rate_limit:"
        self._plans: dict[tuple[int, ...], Plan] = {}
        everything = range(len(terms.limits))
        self.all = self._of(tuple(everything))
        self.single = [self._of((number,)) for number in everything]

    def of_key(self, key: Keyed) -> Asked:
        """Return whom a plain call asks for; with keys by limit, limits without a key do not apply.

        :raises ValueError: when keys are given by limit and the rate limit has one for all, or the other way round.
        """
        if isinstance(key, str) != (self._terms.keys is None):
            wanted = "one key" if self._terms.keys is None else "a key for each limit, by its name"
            raise ValueError(f"The rate limit {self._terms.name} takes {wanted}.")
        if isinstance(key, str):
            return Asked(self.all, self.all.keys(key), key)
        return self._own(key)

    def of_scope(self, scope: Scope) -> Asked | None:
        """Return whom a request asks for; None when no limit applies."""
        key = self._terms.key_of(scope)
        if isinstance(key, str):
            return Asked(self.all, self.all.keys(key), key)
        return self._own(key) if key else None

    def _own(self, keys: Mapping[str, str]) -> Asked:
        numbers = tuple(number for number, limit in enumerate(self._terms.limits) if limit.name in keys)
        if len(numbers) != len(keys) or not numbers:
            known = ", ".join(limit.name for limit in self._terms.limits)
            raise ValueError(f"The rate limit {self._terms.name} has the limits {known}; give keys for some of these.")
        plan = self._of(numbers)
        stored = plan.own_keys(keys)
        return Asked(plan, stored, "\n".join(stored))

    def _of(self, numbers: tuple[int, ...]) -> Plan:
        plan = self._plans.get(numbers)
        if plan is None:
            limits = [self._terms.limits[number] for number in numbers]
            plan = self._plans[numbers] = Plan(limits, numbers, self.root, self._terms.name)
        return plan


def _digest(key: str) -> str:
    return "sha256-" + sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
