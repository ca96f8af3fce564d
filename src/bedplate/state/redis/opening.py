"""Opening a connection: the socket, TLS, who we are, what the server is, and whether it may be used."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from bedplate.state.redis.address import Address
from bedplate.state.redis.common import Common
from bedplate.state.redis.connection import Connection, Owner
from bedplate.state.redis.packing import words
from bedplate.state.redis.replies import away
from bedplate.state.redis.server import Server
from bedplate.state.store import StoreReplyError

__all__ = ["opened"]

#: Scripts and tracking are as they are here from this Redis on; Valkey began later.
_OLDEST = (7, 0)


async def opened(
    common: Common,
    owner: Owner,
    address: Address,
    *,
    replica: bool = False,
    sentinel: bool = False,
    quiet: float | None = None,
    patience: float | None = None,
) -> tuple[Connection, Server]:
    """Return a connection that is greeted, authenticated and examined; all within ``settings.connect_timeout``.

    :param replica: whether the server may be a replica, which takes no writes.
    :param sentinel: whether it must be a Sentinel, and else none.
    :param quiet: :param patience: other than the settings say; see :class:`.connection.Connection`.
    :raises StoreError: when the server may not be used, or refuses us. :raises OSError: when it cannot be reached.
    :raises TimeoutError: when it does not answer.
    """
    settings = common.settings
    # Reading the certificates of all authorities takes some 20 ms.
    tls = await asyncio.to_thread(address.context) if address.tls is not None else None
    connection: Connection | None = None
    async with asyncio.timeout(settings.connect_timeout):
        try:
            connection = await _socket(
                lambda: Connection(owner, quiet=quiet or settings.quiet, patience=patience or settings.patience),
                address,
                tls,
            )
            server = await _greeted(common, connection, address)
            if reason := _no_sentinel(server) if sentinel else _unfit(common, server, replica):
                raise away(common.name, reason)
        except BaseException:
            if connection is not None:
                connection.abort("it could not be used")
            raise
    return connection, server


async def _socket(make: Callable[[], Connection], address: Address, tls: ssl.SSLContext | None) -> Connection:
    loop = asyncio.get_running_loop()
    if address.path:
        return (await loop.create_unix_connection(make, address.path))[1]
    name = address.host if tls is not None else None
    return (await loop.create_connection(make, address.host, address.port, ssl=tls, server_hostname=name))[1]


async def _greeted(common: Common, connection: Connection, address: Address) -> Server:
    """Say everything in one write, and read the answers."""
    timeout = common.settings.connect_timeout
    hello: list[str] = ["HELLO", "3"]
    if address.password:
        hello += ["AUTH", address.username or "default", address.password]
    asked = [
        connection.control(words(*parts), timeout)
        for parts in (
            (*hello, "SETNAME", common.label),
            ("SELECT", address.db) if address.db else ("PING",),
            ("PING",),
            ("CLIENT", "TRACKING", "ON", "OPTIN"),
            ("INFO",),
        )
    ]
    greeting, selected, alive, tracking, info = await asyncio.gather(*asked, return_exceptions=True)
    for answer in (greeting, selected, alive):
        if isinstance(answer, BaseException):
            raise answer
    if isinstance(tracking, BaseException) and not isinstance(tracking, StoreReplyError):
        raise tracking
    connection.tracked = not isinstance(tracking, BaseException)
    if isinstance(info, bytes):
        return Server.of(info.decode(errors="replace"))
    if isinstance(info, StoreReplyError):  # an ACL without INFO: the greeting says the least
        return _from_greeting(greeting)
    raise info if isinstance(info, BaseException) else away(common.name, "it answered INFO with something else")


def _from_greeting(greeting: Any) -> Server:
    told = {key.decode(): value.decode() for key, value in greeting.items() if isinstance(value, bytes)}
    return Server(
        product=told.get("server", ""),
        version=told.get("version", ""),
        mode=told.get("mode", ""),
        role="replica" if told.get("role") in ("replica", "slave") else told.get("role", ""),
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit()) or _OLDEST


def _no_sentinel(server: Server) -> str | None:
    return None if server.mode == "sentinel" else "it is no Sentinel: write redis:// in the URL"


def _unfit(common: Common, server: Server, replica: bool) -> str | None:
    if server.product == "redis" and _number(server.version) < _OLDEST:
        return f"it is Redis {server.version}, and 7.0 is the oldest that will do"
    if server.role == "replica" and not replica:
        return "it is a replica, which takes no writes"
    if server.mode == "sentinel":
        return "it is a Sentinel: write redis+sentinel:// in the URL"
    if server.mode == "cluster" and common.redirect is None:
        return "it is a node of a cluster: write redis+cluster:// in the URL"
    return common.admits(server)
