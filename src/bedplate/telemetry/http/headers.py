"""Response headers that every answer carries, as raw ASGI pairs computed once."""

from __future__ import annotations

from operator import itemgetter

from starlette.types import Scope

from bedplate.component import Environment
from bedplate.telemetry.http.settings import HttpSettings

__all__ = ["RawHeaders", "ResponseHeaders", "name_of"]

RawHeaders = tuple[tuple[bytes, bytes], ...]

#: The name of a raw header. Whether any of some names is among headers, a set tells without a loop in Python.
name_of = itemgetter(0)


class ResponseHeaders:
    """The request id and the security headers, with HSTS over https in production.

    :ivar plain: for answers over http. :ivar secure: for answers over https. :ivar names: what is among them.
    """

    __slots__ = ("names", "plain", "secure")

    def __init__(self, settings: HttpSettings, environment: Environment) -> None:
        headers = settings.security_headers.items()
        self.plain: RawHeaders = tuple((name.lower().encode(), value.encode("latin-1")) for name, value in headers)
        self.secure = self.plain
        if environment == "production" and settings.hsts:
            self.secure += ((b"strict-transport-security", settings.hsts.encode()),)
        self.names = frozenset(name for name, _ in self.secure) | {b"x-request-id"}

    def added_to(
        self, own: list[tuple[bytes, bytes]], request_id: str, scope: Scope, more: RawHeaders
    ) -> list[tuple[bytes, bytes]]:
        """Return the application's ``own`` headers with ours behind them, but for those that it has set itself.

        :param more: from guards; they are added in any case.
        """
        ours = self.secure if scope["scheme"] in ("https", "wss") else self.plain
        identity = (b"x-request-id", request_id.encode())
        if self.names.isdisjoint(map(name_of, own)):
            return [*own, identity, *ours, *more]
        taken = {name for name, _ in own}
        return [*own, *(pair for pair in (identity, *ours) if pair[0] not in taken), *more]
