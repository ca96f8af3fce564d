"""Sessions outlast a restart: what is needed to know a browser again lies in a file that only the service reads.

The file holds digests of cookies and of tokens, neither of which can be turned back, and what forms must carry. A token
that was removed meanwhile opens nothing, nor does a link outside development.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from bedplate.component import Host
from bedplate.console.access.access import ALL, Access
from bedplate.console.access.sessions import Kept, Session
from bedplate.declarations import AccessRole

__all__ = ["Outlast", "read", "write"]


class _Session(BaseModel):
    name: str
    role: AccessRole
    way: str
    began: float
    proof: str
    secret: str


class _Kept(BaseModel):
    """:ivar until: Unix seconds, as is ``idle_until``: a machine that was restarted counts its own time anew."""

    key: str
    until: float
    idle_until: float
    of: dict[str, _Session]


_FILE = TypeAdapter(list[_Kept])


class Outlast:
    """Keeps a file of sessions up to date. That it cannot is logged: people then sign in again after a restart."""

    def __init__(self, path: Path, access: Access) -> None:
        self._path = path
        self._access = access
        self._news = asyncio.Event()
        self._is_new = False

    async def begin(self, host: Host) -> None:
        """Let in again who was signed in, and keep the file from now on."""
        try:
            self._is_new = not await asyncio.to_thread(read, self._path, self._access)
        except (OSError, ValueError) as error:
            host.log.warning("console_sessions_unread", error=str(error))
        self._access.sessions.changed = self._changed
        host.spawn("outlast", lambda: self._keep(host))

    async def end(self, host: Host) -> None:
        """Write for the last time, if anything was new."""
        self._access.sessions.changed = lambda: None
        if self._is_new:
            await self._write(host)

    def _changed(self) -> None:
        self._is_new = True
        self._news.set()

    async def _keep(self, host: Host) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._write(host)

    async def _write(self, host: Host) -> None:
        try:
            await asyncio.to_thread(write, self._path, self._access)
        except OSError as error:
            host.log.warning("console_sessions_unwritten", error=str(error))


def write(path: Path, access: Access) -> None:
    """Write who is signed in; whole or not at all.

    :raises OSError: when the file cannot be written.
    """
    ahead = access.clock.time() - access.clock.monotonic()
    found = [
        _Kept(
            key=key,
            until=kept.until + ahead,
            idle_until=kept.idle_until + ahead,
            of={
                name: _Session(
                    name=one.name, role=one.role, way=one.way, began=one.began, proof=one.proof, secret=one.secret.hex()
                )
                for name, one in kept.of.items()
            },
        )
        for key, kept in access.sessions.kept().items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps([one.model_dump() for one in found]))
    draft.replace(path)


def read(path: Path, access: Access) -> bool:
    """Let in again who was signed in when the file was written; return whether all were.

    :raises OSError: when it cannot be read. :raises ValueError: when it is something else.
    """
    if not path.exists():
        return True
    try:
        found = _FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path} does not hold sessions: {error.error_count()} faults") from None
    ahead = access.clock.time() - access.clock.monotonic()
    known = {one.key: kept for one in found if (kept := _again(one, access, ahead)) is not None}
    access.sessions.restore(known)
    return len(known) == len(found)


def _again(kept: _Kept, access: Access, ahead: float) -> Kept | None:
    of: dict[str, Session] = {}
    for name, one in kept.of.items():
        still = _still(name, one, access)
        if still is not None:
            secret = bytes.fromhex(one.secret)
            of[name] = Session(one.name, one.role, one.way, one.began, still, one.proof, secret=secret)
    if access.shared and of and ALL in kept.of:
        one, known = kept.of[ALL], tuple(of.values())
        of[ALL] = Session(
            one.name,
            one.role,
            one.way,
            one.began,
            lambda: any(other.still() for other in known),
            secret=bytes.fromhex(one.secret),
        )
    return Kept(kept.until - ahead, kept.idle_until - ahead, of) if of else None


def _still(name: str, one: _Session, access: Access) -> Callable[[], bool] | None:
    """Return what tells whether a service still lets somebody in; None when it does not know them."""
    member = access.members.get(name)
    if member is None:
        return None
    if one.way == "token":
        return member.auth.watch_proof(one.proof, one.role)
    allowed = member.environment == "development" if one.way == "link" else bool(member.settings.oidc.issuer)
    return (lambda: True) if allowed else None
