"""Bearer tokens: how they are written down, and what one allows.

A token entry is ``name:role:token``; entries are separated by commas or white space, so that a list fits in one
environment variable and a file may hold one a line, with ``#`` comments. In place of the token stands
``sha256:<64 hex digits>`` when the list should not be a secret itself::

    BEDPLATE_TOKENS="grafana:viewer:s3cr3t…, prometheus:metrics:sha256:9f86d0…, alice:admin:…"

To rotate a token, list the old and the new one under the same name, and remove the old one when nobody uses it.
Only digests are kept in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from bedplate.declarations import AccessRole, Actor
from bedplate.problems import DeclarationError

__all__ = ["Grant", "Identity", "Token", "TokenTable", "allows", "mint", "parse_tokens", "proof_of"]

#: What a token allows, each including those before it. ``metrics`` is for scrapers: the exposition and nothing else.
Grant = Literal["metrics", "viewer", "operator", "admin"]

#: Tokens with fewer characters can be guessed; they are refused in staging and production.
MINIMUM_LENGTH = 16

_RANK: dict[str, int] = {grant: rank for rank, grant in enumerate(get_args(Grant))}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}\Z")


def allows(held: Grant, needed: Grant) -> bool:
    """Tell whether the grant ``held`` includes the one ``needed``."""
    return _RANK[held] >= _RANK[needed]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, as proven by a token or by standing at a development machine."""

    name: str
    grant: Grant

    @property
    def actor(self) -> Actor | None:
        """The identity in the roles that actions know; None for a scraper, which may do nothing."""
        roles: dict[Grant, AccessRole] = {"viewer": "viewer", "operator": "operator", "admin": "admin"}
        role = roles.get(self.grant)
        return Actor(self.name, role) if role else None


class Token(BaseModel):
    """One token: whose it is, what it allows, and its SHA-256; never the token itself."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    name: str
    role: Grant
    digest: bytes = Field(repr=False, exclude=True)
    short: bool = Field(default=False, exclude=True)

    @classmethod
    def of(cls, name: str, role: str, token: str) -> Token:
        """Return a token from its text or from ``sha256:<hex>``.

        :raises DeclarationError: when a part is malformed; the message never holds the token.
        """
        if not _NAME.match(name):
            raise DeclarationError(
                "A token's name is not a plain word.", "Write name:role:token, the name with letters, digits, . _ @ -"
            )
        if role not in _RANK:
            raise DeclarationError(
                f"The token of {name} has no role that exists.", f"Use one of {', '.join(_RANK)}: name:role:token."
            )
        scheme, _, digest = token.partition(":")
        if scheme == "sha256":
            if not _DIGEST.match(digest):
                raise DeclarationError(
                    f"The SHA-256 of {name}'s token is not 64 hex digits.", "Make it with sha256sum, without newline."
                )
            return cls(name=name, role=role, digest=bytes.fromhex(digest))
        if not token:
            raise DeclarationError(f"The token of {name} is empty.", "Write name:role:token.")
        return cls(name=name, role=role, digest=_digest(token), short=len(token) < MINIMUM_LENGTH)


def proof_of(token: str) -> str:
    """Return a digest of a token, which tells it again and cannot be turned back into it."""
    return _digest(token).hex()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def parse_tokens(value: object) -> tuple[Token, ...]:
    """Return the tokens of a list in the notation above, or of a sequence of entries.

    :raises DeclarationError: naming the entry by its number, never by its text.
    """
    return tuple(_entry(number, entry) for number, entry in enumerate(_entries(value), 1))


def _entries(value: object) -> Iterator[Token | str]:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Token):
        yield value
    elif isinstance(value, str):
        for line in value.splitlines():
            if not line.lstrip().startswith("#"):
                yield from (entry for entry in re.split(r"[,\s]+", line) if entry)
    elif isinstance(value, Iterable):
        for item in value:
            yield from _entries(item)
    else:
        raise DeclarationError("Tokens are not a list.", "Write name:role:token, separated by commas.")


def _entry(number: int, entry: Token | str) -> Token:
    if isinstance(entry, Token):
        return entry
    parts = entry.split(":", 2)
    if len(parts) != 3:
        raise DeclarationError(f"Token entry {number} has fewer than three parts.", "Write name:role:token.")
    return Token.of(*parts)


def mint(name: str, role: Grant) -> tuple[str, str]:
    """Return a new random token, and its entry with the hash in place of the token."""
    token = secrets.token_urlsafe(32)
    return token, f"{name}:{role}:sha256:{_digest(token).hex()}"


class TokenTable:
    """The tokens that are valid now; immutable, replaced as a whole."""

    __slots__ = ("_tokens",)

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self._tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, entry: Token) -> bool:
        return entry in self._tokens

    def find(self, token: str) -> Token | None:
        """Return the entry of a presented token; it takes equally long whether and where there is one."""
        return self._found(_digest(token))

    def proven(self, proof: str) -> Token | None:
        """Return the entry of a token by what :func:`proof_of` returned for it."""
        return self._found(bytes.fromhex(proof)) if _DIGEST.match(proof) else None

    def _found(self, digest: bytes) -> Token | None:
        found: Token | None = None
        for entry in self._tokens:
            if hmac.compare_digest(entry.digest, digest):
                found = entry
        return found
