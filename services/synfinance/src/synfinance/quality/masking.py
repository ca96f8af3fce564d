"""Values made fit to be shown: card numbers and e-mail addresses masked, long ones shortened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MAX_EXAMPLES: Final = 5
_MAX_LENGTH: Final = 60
_CARD: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_EMAIL: Final = re.compile(r"([\w.+-])[\w.+-]*@([\w-])[\w-]*((?:\.[\w-]+)+)")
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def masked(value: object) -> str:
    """A value as text that is safe to print: no card number, no e-mail address, no control character, 60 characters."""
    text = _number(value) if isinstance(value, float) else str(value)
    text = _CARD.sub(lambda match: "•••• " + match.group()[-4:], text)
    text = _EMAIL.sub(r"\1•••@\2•••\3", text)
    text = _UNSEEN.sub(lambda match: f"\\x{ord(match.group()):02x}", text)
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 1] + "…"


def examples_of(values: Iterable[object]) -> tuple[str, ...]:
    """At most five different values, masked, in the order given."""
    shown: dict[str, None] = {}
    for value in values:
        if len(shown) == MAX_EXAMPLES:
            break
        if value is not None:
            shown.setdefault(masked(value))
    return tuple(shown)


def luhn(digits: str) -> bool:
    """Whether a string of digits has the check digit of a card number (ISO/IEC 7812-1)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _number(value: float) -> str:
    return f"{value:.10g}" if abs(value) < 1e10 else f"{value:.6g}"
