"""A rate limit as a value, and what an answer says of it (IETF draft-ietf-httpapi-ratelimit-headers-11)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, get_args

from bedplate.problems import DeclarationError

__all__ = ["Decision", "Limit", "Strategy"]

#: How a limit counts; ``token_bucket`` is another name of ``gcra``, whose meter read backwards is that bucket.
Strategy = Literal["gcra", "token_bucket", "sliding_window", "fixed_window"]

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_TEXT = re.compile(r"\s*(\d+)\s*(?:/|per)\s*(\d+)?\s*(second|minute|hour|day|s|min|m|h|d)s?\s*\Z")
_SHORT = {"s": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day"}
_NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """``quota`` units in ``window`` seconds, evenly refilled.

    :param quota: how much may be used in a window; a request uses 1 unless it says otherwise.
    :param window: seconds.
    :param name: what the ``RateLimit`` headers call it.
    :param burst: how much may be used at once by who has been idle; the quota by default.
    :raises DeclarationError: when a number is not positive or the name is no plain word.
    """

    quota: int
    window: float
    name: str = "default"
    burst: int = 0
    strategy: Strategy = "gcra"

    def __post_init__(self) -> None:
        if self.quota < 1 or self.window <= 0 or self.burst < 0 or self.interval < 1:
            raise DeclarationError(
                f"Limit {self.name} allows {self.quota} in {self.window} s with a burst of {self.burst}.",
                "Give positive numbers, and at most 10⁹ a second.",
            )
        if not _NAME.match(self.name):
            raise DeclarationError(f"Limit name {self.name!r} is not a plain word.", "Use lower-case letters.")
        if self.strategy not in get_args(Strategy):
            known = ", ".join(get_args(Strategy))
            raise DeclarationError(f"Limit {self.name} counts by {self.strategy!r}.", f"Choose one of {known}.")
        if self.windowed and self.burst not in (0, self.quota):
            raise DeclarationError(
                f"Limit {self.name} has a burst, which a {self.strategy} has not.", "Leave it out, or count by gcra."
            )
        if not self.burst:
            object.__setattr__(self, "burst", self.quota)

    @classmethod
    def parse(cls, text: str, *, name: str = "default", strategy: Strategy = "gcra") -> Self:
        """Return the limit that ``100/minute``, ``5 per hour`` or ``20/10s`` says.

        :raises DeclarationError: when the text says none.
        """
        match = _TEXT.match(text.lower())
        if match is None:
            raise DeclarationError(f"{text!r} is not a rate limit.", "Write it as 100/minute, 5 per hour or 20/10s.")
        quota, count, unit = match.groups()
        return cls(int(quota), int(count or 1) * _UNITS[_SHORT.get(unit, unit)], name, strategy=strategy)

    @property
    def windowed(self) -> bool:
        """Whether it counts in windows, and does not refill evenly."""
        return self.strategy in ("sliding_window", "fixed_window")

    @property
    def interval(self) -> int:
        """Nanoseconds in which one unit is refilled."""
        return int(self.window * _SECOND) // self.quota

    @property
    def tolerance(self) -> int:
        """Nanoseconds of refilling that a full burst takes; the most that a key can owe."""
        return self.interval * (self.burst or self.quota)

    @property
    def policy(self) -> str:
        """The item of ``RateLimit-Policy``."""
        return f'"{self.name}";q={self.quota};w={max(1, round(self.window))}'

    def __str__(self) -> str:
        return f"{self.quota} in {self.window:g} s"


class Decision(NamedTuple):
    """What became of one request for units.

    :param limit: the limit that refused, else the one with the least left.
    :param remaining: units of that limit left now.
    :param reset_after: seconds until it is whole again.
    :param retry_after: seconds until the same request would be allowed; 0 when it was.
    :param headers: ``RateLimit-Policy``, ``RateLimit`` and, when refused, ``Retry-After``.
    :param alone: whether this instance decided by its own share, because the store is away.
    """

    allowed: bool
    limit: Limit
    remaining: int
    reset_after: float
    retry_after: float
    headers: tuple[tuple[bytes, bytes], ...]
    alone: bool = False
