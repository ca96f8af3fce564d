"""Tokens of organisations, of which only hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.scope import Scope
from ledger.tables import TOKENS

__all__ = ["Kept", "TokenRole", "by_id", "create", "fits", "parsed", "revoke", "show"]

TokenRole = Literal["read", "write"]
_PREFIX: Final = "lgr"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a token. :ivar id: the part of it that may be shown."""

    id: str
    organization_id: int
    hash: str
    role: TokenRole
    label: str
    created: int
    revoked: int | None


_COLUMNS: Final = [TOKENS.c[name] for name in Kept.__slots__]


def parsed(token: str) -> tuple[str, str] | None:
    """Return the id and the secret of a token; None when it is none."""
    parts = token.split("_", 2)
    if len(parts) != 3 or parts[0] != _PREFIX or len(parts[1]) != 16 or not parts[1].isalnum():
        return None
    return parts[1], parts[2]


def fits(secret: str, kept: str) -> bool:
    """Whether a secret has a hash; it takes the same time whether it does or not."""
    return hmac.compare_digest(_hashed(secret), kept)


async def create(
    connection: AsyncConnection, organization: int, role: TokenRole, label: str, now: int
) -> tuple[Kept, str]:
    """Make a token, in a transaction of nobody's; return what is kept, and the token, which is not."""
    id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    kept = Kept(id, organization, _hashed(secret), role, label, now, None)
    await connection.execute(TOKENS.insert().values({name: getattr(kept, name) for name in Kept.__slots__}))
    return kept, f"{_PREFIX}_{id}_{secret}"


async def by_id(connection: AsyncConnection, id: str) -> Kept | None:
    """Return what is kept of a token, in a transaction of nobody's: it says whose the request is."""
    row = (await connection.execute(select(*_COLUMNS).where(TOKENS.c.id == id))).first()
    return None if row is None else Kept(*row)


async def show(scope: Scope) -> list[Kept]:
    """Return the organisation's tokens, the oldest first."""
    rows = await scope.execute(select(*_COLUMNS).order_by(TOKENS.c.created, TOKENS.c.id))
    return [Kept(*row) for row in rows]


async def revoke(scope: Scope, id: str, now: int) -> bool:
    """Let a token open nothing from now on; False when there is none that did."""
    done = await scope.execute(TOKENS.update().where(TOKENS.c.id == id, TOKENS.c.revoked.is_(None)).values(revoked=now))
    return bool(done.rowcount)


def _hashed(secret: str) -> str:
    # 256 bits drawn at random need no slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()
