"""Finds payment card numbers in text and masks all but their last four digits.

A card number (primary account number) has 13 to 19 digits, ends with a Luhn check digit (ISO/IEC 7812-1, annex B) and
starts with a digit that is given to issuers of payment cards: 2 to 9, or 1 with 15 digits. One random number in ten
passes Luhn as well; masking a number too many is the lesser harm.
"""

from __future__ import annotations

import re

__all__ = ["mask_cards", "may_hold_card"]

_SEPARATORS = b" .+-"
_TO_ZERO = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x78 for byte in range(256))
_RUN = b"0" * 13
#: The sum of the digits of twice a digit, by the digit's ASCII code.
_DOUBLED = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[byte - 0x30] if 0x30 <= byte <= 0x39 else 0 for byte in range(256))

# In one piece, or in groups as printed on cards. The match is a lookahead, so that candidates may overlap: in
# "1234 4111 1111 1111 1111" the card hides behind another group.
_CANDIDATE = re.compile(
    r"(?<![0-9])(?=([0-9]{13,19}(?![0-9])|[0-9]{4}[ .+-][0-9]{4,6}[ .+-][0-9]{4,6}(?:[ .+-][0-9]{1,6}){0,2}(?![0-9])))"
)


def may_hold_card(raw: bytes) -> bool:
    """Return False when the UTF-8 text surely holds no card number; two passes at C speed."""
    return _RUN in raw.translate(_TO_ZERO, _SEPARATORS)


def mask_cards(text: str) -> tuple[str, int]:
    """Return the text with card numbers masked, and how many there were; linear in the text's length."""
    pieces: list[str] = []
    done = 0
    for match in _CANDIDATE.finditer(text):
        start = match.start(1)
        if start < done:
            continue
        length = _card_length(match[1])
        if length:
            pieces.append(text[done:start])
            done = start + length
            pieces.append(_mask(text[start:done]))
    if not pieces:
        return text, 0
    return "".join([*pieces, text[done:]]), len(pieces) // 2


def _card_length(candidate: str) -> int:
    """Return how many characters, from the start, are a card number; 0 when none are. Ends only between groups."""
    ends = (end for end in range(len(candidate), 12, -1) if end == len(candidate) or not candidate[end].isdigit())
    for end in ends:
        digits = candidate[:end].encode().translate(None, _SEPARATORS)
        if not 13 <= len(digits) <= 19 or digits[0] == 0x30 or (digits[0] == 0x31 and len(digits) != 15):
            continue
        plain = digits[::-2]
        if (sum(plain) - 0x30 * len(plain) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0:
            return end
    return 0


def _mask(card: str) -> str:
    keep = 4
    masked: list[str] = []
    for char in reversed(card):
        if char.isdigit():
            masked.append(char if keep > 0 else "*")
            keep -= 1
        else:
            masked.append(char)
    return "".join(reversed(masked))
