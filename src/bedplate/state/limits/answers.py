"""What is said of a decision: headers, verdicts and the decision itself, from a few whole numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bedplate.declarations import Verdict
from bedplate.state.limits.limit import Decision, Limit
from bedplate.state.limits.terms import Terms

__all__ = ["Answers", "advice", "refusal", "too_much"]

#: Answers remembered by what they say; beyond it the memory starts anew.
_REMEMBERED = 4096


class Answers:
    """The words of one rate limit.

    :param second: how many of the units in which times are given make a second.
    :ivar verdicts: verdicts that let pass, by what they say: of each limit, units left and seconds until it is whole.
    """

    __slots__ = ("_second", "limits", "policy", "verdicts")

    def __init__(self, limits: Sequence[Limit], second: int) -> None:
        self.limits = tuple(limits)
        self._second = second
        self.policy = (b"ratelimit-policy", ", ".join(limit.policy for limit in self.limits).encode())
        self.verdicts: dict[tuple[int, ...], Verdict] = {}

    def said(self, left: Iterable[int], whole: Iterable[int]) -> tuple[int, ...]:
        """Return what the headers say, limit by limit: units left and whole seconds until reset."""
        said: list[int] = []
        for remaining, reset in zip(left, whole, strict=True):
            said += remaining, -(-reset // self._second)
        return tuple(said)

    def verdict(self, said: tuple[int, ...]) -> Verdict:
        """Return the verdict that lets a request pass with these numbers, and remember it: they come again."""
        if len(self.verdicts) >= _REMEMBERED:
            self.verdicts.clear()
        pairs = zip(self.limits, said[::2], said[1::2], strict=True)
        items = ", ".join([f'"{limit.name}";r={remaining};t={reset}' for limit, remaining, reset in pairs])
        verdict = self.verdicts[said] = Verdict((self.policy, (b"ratelimit", items.encode())))
        return verdict

    def decision(
        self, allowed: bool, left: Sequence[int], whole: Sequence[int], waits: Sequence[int], *, alone: bool = False
    ) -> Decision:
        """Return the decision, with headers. ``waits`` matter when it was refused."""
        said = self.said(left, whole)
        headers = (self.verdicts.get(said) or self.verdict(said)).headers
        number = 0
        retry_after = 0.0
        if not allowed:
            number = waits.index(max(waits))
            retry_after = waits[number] / self._second
            headers = (*headers, (b"retry-after", b"%d" % math.ceil(retry_after)))
        elif len(left) > 1:
            number = left.index(min(left))
        reset_after = whole[number] / self._second
        return Decision(allowed, self.limits[number], left[number], reset_after, retry_after, headers, alone)


def advice(decision: Decision) -> str:
    """Return what the client who was refused should know."""
    return f"{decision.limit} are allowed. Try again in {math.ceil(decision.retry_after)} s."


def refusal(decision: Decision) -> Verdict:
    """Return the verdict that answers a refused request."""
    return Verdict(decision.headers, 429, "Too Many Requests", advice(decision))


def too_much(terms: Terms, cost: int) -> Verdict | None:
    """Return the verdict on a request whose cost can never pass; waiting would not help, so it is not advised."""
    if terms.shadow:
        return None
    detail = f"It costs {cost}, and at most {terms.most} are allowed at once."
    return Verdict(status=429, title="Too Many Requests", detail=detail)
