"""Keeps secrets and card numbers out of whatever a service says of itself: logs, errors, traces, pages.

Three rules, from cheap to dear:

1. *Keys by name.* A value under ``password``, ``access_token``, ``Set-Cookie`` … is replaced, at any depth.
2. *Known secrets.* A value given to :meth:`Redactor.add_secret` is replaced wherever it occurs.
3. *Patterns.* Bearer and basic credentials, JWTs, passwords in URLs, ``key=value`` pairs with a secret key, keys of
   well-known vendors, private keys, and card numbers (13 to 19 digits that pass Luhn; the last four stay).

Text that nobody need worry about is the common case, so a few searches at C speed decide whether a pattern is tried at
all. Every pattern is linear: repetitions are bounded and never nested, and the text itself is bounded by ``limit``.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from bedplate.telemetry.card_numbers import mask_cards, may_hold_card

__all__ = ["REDACTED", "Redactor", "describe"]

#: What stands for a secret.
REDACTED: Final = "[redacted]"

#: Parts of a key, in lower case and without separators, that make its value a secret.
_STEMS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "privatekey",
    "accesskey",
    "signingkey",
    "encryptionkey",
    "cardnumber",
    "securitycode",
)
#: Of these there are numbers: ``{"tokens": 1200}`` says how many.
_COUNTED = ("token", "cookie")
#: Keys that are secret as a whole word only; numbers under them are secret, too.
_WORDS = frozenset({"auth", "cvc", "cvv", "dsn", "jwt", "otp", "pan", "passcode", "pin", "pwd", "sessionid", "ssn"})
#: Endings that turn a secret into something said about it: ``token_type``, ``cookie_count``, ``password_age`` …
_HARMLESS = re.compile(r"(?:count|type|limit|length|size|age|usage|budget|expires?|expiresin|expiry|ttl|name|id)\Z")

_SEPARATORS = str.maketrans("", "", "-_. \t")
_CONTROL = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

# The quick check for long words: letters, digits and _ become w, so that a run of them is a plain substring.
_TO_WORDS = bytes(0x77 if (byte < 128 and chr(byte).isalnum()) or byte == 0x5F else 0x20 for byte in range(256))
_LONG_WORD = b"w" * 20

#: One of these is part of every secret key; searching them one by one is faster than one pattern of all.
_PAIR_HINTS = (
    *("passw", "passp", "passc", "secret", "token", "key", "auth", "cookie", "credential", "card", "securi"),
    *("cvc", "cvv", "dsn", "jwt", "otp", "pan", "pin", "pwd", "session", "ssn"),
)
_PAIR_KEY = re.compile(r"""\b([A-Za-z_][\w.-]{0,63})\\?["']?\s{0,2}(?:=>|[=:])\s{0,2}""")
_PAIR_VALUE = re.compile(r"""(\\?["'])(.*?)(?=\1|\Z)|()([^\s"',;&|)}\]>]{1,4096})""", re.DOTALL)
# Headers whose value has spaces: everything up to the end of the line or the quote.
_HEADER = re.compile(
    r"""\b((?:proxy-)?authorization|(?:set-)?cookie)(\\?["']?\s{0,2}[=:]\s{0,2}\\?["']?)([^\r\n"'\\]{1,8192})""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b([Bb]earer )(?!authenti|authori|token|scheme|header)([A-Za-z0-9._~+/=-]{6,8192})")
_BASIC = re.compile(r"\b([Bb]asic )(?=[A-Za-z0-9+/]{0,512}(?:[0-9=]|[a-z][A-Z]))([A-Za-z0-9+/]{8,8192}={0,2})")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{4,4096}\.[A-Za-z0-9_-]{4,8192}(?:\.[A-Za-z0-9_-]{0,4096})?")
_URL = re.compile(r"""://([^\s/@:"'<>]{0,256}):([^\s/"'<>]{1,512})@""")
_VENDOR_MARKS = ("AKIA", "ASIA", "AIza", "gh", "glpat-", "xox", "npm_", "pypi-", "sk", "rk_", "pk_", "whsec_", "SG.")
_VENDOR = re.compile(
    r"\b(?:AKIA|ASIA|AIza|gh[opsur]_|github_pat_|glpat-|xox[abeoprs]-|npm_|pypi-|sk-|[rsp]k_(?:live|test)_|whsec_|SG\.)"
    r"[A-Za-z0-9_-]{12,512}"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[^-]{0,16384}(?:-----END [A-Z ]{0,32}PRIVATE KEY-----)?"
)
_MIN_SECRET = 6
_SCAN_SLACK = 512
_KEY_CACHE = 4096
_LONGEST_KEY = 128
#: From here on an integer may be a card number, or be too large for readers of JSON.
_LONG = 1_000_000_000_000


class Redactor:
    """Replaces secrets in texts and in JSON-like values. Safe to share between threads.

    :param keys: further key names whose values are secrets, as stems: ``iban`` also covers ``customer_iban``.
    :param secrets: values to replace wherever they occur; values shorter than 6 characters are too common to be so.
    :param limit: characters that a text keeps; what is cut is counted in its place.
    :param depth: levels of nesting that a value keeps.
    :param items: entries that a value keeps, all levels together.
    :param characters: characters that a value keeps, all texts in it together.
    :ivar counts: replacements so far, by kind: ``key``, ``secret``, ``pattern``, ``card``. Approximate under threads.
    """

    def __init__(
        self,
        *,
        keys: Collection[str] = (),
        secrets: Iterable[str] = (),
        limit: int = 16_384,
        depth: int = 8,
        items: int = 1_000,
        characters: int = 65_536,
    ) -> None:
        self.limit = limit
        self.characters = characters
        self.depth = depth
        self.items = items
        self.counts: Counter[str] = Counter({"key": 0, "secret": 0, "pattern": 0, "card": 0})
        self._named: tuple[str, ...] = ()
        self._hints: tuple[str, ...] = _PAIR_HINTS
        self._harmless: set[Any] = set()
        self._recurring: dict[str, str] = {}
        self._secrets: tuple[str, ...] = ()
        for key in keys:
            self.add_key(key)
        for secret in secrets:
            self.add_secret(secret)

    def add_key(self, key: str) -> None:
        """Take values under keys that contain this one for secrets from now on, whatever the case and separators."""
        if _normal(key):
            self._named = (*self._named, _normal(key))
            self._hints = (*self._hints, key.lower())
            self._recurring = {}
            self._harmless = set()

    def add_secret(self, value: str) -> bool:
        """Replace ``value`` from now on, also as URLs escape it; return False when it is too short to be sure."""
        if len(value) < _MIN_SECRET:
            return False
        forms = {*self._secrets, value, quote(value), quote(value, safe="")}
        # Longest first, so that a secret that begins with another one is replaced whole.
        self._secrets = tuple(sorted(forms, key=len, reverse=True))
        self._recurring = {}
        return True

    def is_secret(self, key: str) -> bool:
        """Return whether a value under this key is a secret."""
        return self._rank(key) > 0

    def text(self, text: str, limit: int | None = None) -> str:
        """Return the text without secrets, at most ``limit`` characters of it, safe to show on a terminal.

        Line breaks stay, for stacks have them; JSON and the console renderer escape them.
        """
        if limit is None:
            limit = self.limit
        cut = len(text) - limit
        # A secret may lie across the cut: look a little further than what is kept.
        text = self._scan(text) if cut <= 0 else self._scan(text[: limit + _SCAN_SLACK])[:limit]
        if cut > 0:
            text += f"… [{cut} characters cut]"
        return text if text.isascii() else _presentable(text)

    def recurring(self, text: str) -> str:
        """Return :meth:`text` of one that comes again and again, such as a line of source code; it is remembered."""
        known = self._recurring.get(text)
        if known is None:
            if len(self._recurring) >= _KEY_CACHE:
                self._recurring = {}
            known = self._recurring[text] = self.text(text)
        return known

    def value(self, value: Any) -> Any:
        """Return a copy of the value made of dict, list, str, int, float, bool and None only, without secrets.

        What JSON lacks becomes text; too deep or too large values are cut, and say so.
        """
        return self._walk(value, self.depth, [self.items, self.characters])

    def mapping(self, mapping: Mapping[Any, Any]) -> dict[str, Any]:
        """Return :meth:`value` of a mapping; the keys become text."""
        return self._mapping(mapping, self.depth, [self.items, self.characters])

    def headers(self, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
        """Return raw ASGI headers as text without secrets."""
        return self.mapping({name.decode("latin-1"): content.decode("latin-1") for name, content in headers})

    def _judge(self, key: Any) -> tuple[str, int]:
        """Return a key as it may be shown, and its rank; remember it when it is as harmless as most are."""
        name = key if type(key) is str else describe(key)
        rank = self._rank(name)
        if len(name) > _LONGEST_KEY or not name.isascii():
            return self.text(name, _LONGEST_KEY), rank
        if not rank and name is key:
            if len(self._harmless) >= _KEY_CACHE:
                self._harmless = set()
            self._harmless.add(name)
        return name, rank

    def _rank(self, key: str) -> int:
        """Return 0 for a harmless key, 1 when its texts are secrets, 2 when its numbers are, too."""
        normal = _normal(key[:256])
        if normal in _WORDS or "cardnumber" in normal:
            return 2
        if any(stem in normal for stem in self._named):
            return 2
        if _HARMLESS.search(normal) or not any(stem in normal for stem in _STEMS):
            return 0
        return 1 if any(stem in normal for stem in _COUNTED) else 2

    def _walk(self, value: Any, depth: int, left: list[int]) -> Any:
        kind = type(value)
        if kind is str:
            return self._string(value, left)
        if kind is int:
            return self._integer(value)
        if value is None or kind is float or kind is bool:
            return value
        if kind is dict:
            return self._mapping(value, depth - 1, left) if depth else "{…}"
        if isinstance(value, list | tuple | set | frozenset):
            return self._sequence(value, depth - 1, left) if depth else "[…]"
        if isinstance(value, Mapping):
            return self._mapping(value, depth - 1, left) if depth else "{…}"
        return self._object(value, depth, left)

    def _string(self, text: str, left: list[int]) -> str:
        if left[1] <= 0:
            return f"… [{len(text)} characters cut]" if text else ""
        text = self.text(text, min(self.limit, left[1]))
        left[1] -= len(text)
        return text

    def _mapping(self, mapping: Mapping[Any, Any], depth: int, left: list[int]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        harmless = self._harmless
        room = left[0]
        left[0] -= len(mapping)
        for key, value in mapping.items():
            if room <= 0:
                result["…"] = f"{len(mapping) - len(result)} more"
                break
            room -= 1
            if key in harmless:
                kind = type(value)
                if kind is int and -_LONG < value < _LONG:
                    result[key] = value
                else:
                    result[key] = self._walk(value, depth, left)
            else:
                name, rank = self._judge(key)
                if rank and _is_secret(value, rank):
                    self.counts["key"] += 1
                    result[name] = REDACTED
                else:
                    result[name] = self._walk(value, depth, left)
        return result

    def _sequence(self, values: Any, depth: int, left: list[int]) -> list[Any]:
        result: list[Any] = []
        for value in values:
            if left[0] <= 0:
                result.append(f"… {len(values) - len(result)} more")
                break
            left[0] -= 1
            result.append(self._walk(value, depth, left))
        return result

    def _object(self, value: Any, depth: int, left: list[int]) -> Any:
        if isinstance(value, enum.Enum):
            return self._walk(value.value, depth, left)
        if isinstance(value, str):
            return self._string(str.__str__(value), left)
        if isinstance(value, int):
            return self._integer(int(value))
        if isinstance(value, float):
            return float(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._string(bytes(value[: self.limit + _SCAN_SLACK]).decode("utf-8", "backslashreplace"), left)
        if isinstance(value, BaseException):
            return self._string(f"{type(value).__qualname__}: {describe(value)}", left)
        if depth and dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
            return self._mapping(fields, depth - 1, left)
        model = getattr(type(value), "model_fields", None)  # a pydantic model, without importing pydantic
        if depth and isinstance(model, dict):
            return self._mapping({name: getattr(value, name, None) for name in model}, depth - 1, left)
        return self._string(value.isoformat() if isinstance(value, dt.date | dt.time) else describe(value), left)

    def _integer(self, value: int) -> int | str:
        if -_LONG < value < _LONG:
            return value
        # JSON readers keep 53 or 64 bits of an integer; what is longer is text anyway.
        text = str(value) if value.bit_length() < 4096 else f"an integer of {value.bit_length()} bits"
        masked, count = mask_cards(text)
        self.counts["card"] += count
        return value if masked == text and -(2**63) <= value < 2**64 else masked

    def _scan(self, text: str) -> str:
        if len(text) < _MIN_SECRET:
            return text
        for secret in self._secrets:
            if secret in text:
                self.counts["secret"] += text.count(secret)
                text = text.replace(secret, REDACTED)
        if ":" in text or "=" in text:
            if "@" in text and "://" in text:
                text = self._replace("pattern", _URL, rf"://\1:{REDACTED}@", text)
            lower = text.lower()
            if _any_in(self._hints, lower):
                if "authorization" in lower or "cookie" in lower:
                    text = self._replace("key", _HEADER, rf"\1\2{REDACTED}", text)
                text = self._pairs(text)
        if len(text) < 13:  # neither a card number nor "Bearer" with a token
            return text
        if "earer " in text:
            text = self._replace("pattern", _BEARER, rf"\1{REDACTED}", text)
        if "asic " in text:
            text = self._replace("pattern", _BASIC, rf"\1{REDACTED}", text)
        raw = text.encode("utf-8", "replace")
        if "eyJ" in text:
            text = self._replace("pattern", _JWT, REDACTED, text)
        if _LONG_WORD in raw.translate(_TO_WORDS):
            if _any_in(_VENDOR_MARKS, text):
                text = self._replace("pattern", _VENDOR, REDACTED, text)
            if "PRIVATE KEY" in text:
                text = self._replace("pattern", _PRIVATE_KEY, REDACTED, text)
        if may_hold_card(raw):
            text, count = mask_cards(text)
            self.counts["card"] += count
        return text

    def _replace(self, kind: str, pattern: re.Pattern[str], by: Any, text: str) -> str:
        text, count = pattern.subn(by, text)
        if count:
            self.counts[kind] += count
        return text

    def _pairs(self, text: str) -> str:
        pieces: list[str] = []
        done = 0
        for match in _PAIR_KEY.finditer(text):
            rank = self._rank(match[1])
            if not rank or match.start() < done:
                continue
            found = _PAIR_VALUE.match(text, match.end())
            if found is None:
                continue
            value = found[2] or found[4] or ""
            # Short numbers are counts, as for numbers in values; what was replaced before stays.
            harmless = rank == 1 and value.isdigit() and len(value) < _MIN_SECRET
            if not value or harmless or value.startswith(REDACTED[:-1]) or value.lower() in _NOT_SECRET:
                continue
            self.counts["key"] += 1
            pieces += (text[done : match.end()], found[1] or "", REDACTED)
            done = found.end()
        return "".join([*pieces, text[done:]]) if pieces else text


#: Words that follow ``token:`` and the like in a sentence; guessing them gives nothing away.
_NOT_SECRET = frozenset({"none", "null", "true", "false", "missing", "invalid", "expired", "required"})


def describe(value: Any) -> str:
    """Return ``str(value)``, or a placeholder when it raises."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__qualname__} without text>"


def _is_secret(value: Any, rank: int) -> bool:
    """Return whether a value under a key of rank 1 or 2 is a secret; a number of tokens is none."""
    return value is not None and type(value) is not bool and (rank == 2 or not isinstance(value, int | float))


def _any_in(parts: tuple[str, ...], text: str) -> bool:
    for part in parts:  # noqa: SIM110 — a generator costs more than the search
        if part in text:
            return True
    return False


def _normal(key: str) -> str:
    return key.lower().translate(_SEPARATORS)


def _presentable(text: str) -> str:
    """Return the text without what moves cursors or cannot be encoded; ASCII's control characters JSON escapes."""
    text = _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
