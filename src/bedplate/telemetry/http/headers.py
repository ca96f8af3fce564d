"""Response headers that every answer carries, as raw ASGI pairs computed once."""

from __future__ import annotations

from starlette.types import Scope

from bedplate.component import Environment
from bedplate.telemetry.http.settings import HttpSettings

__all__ = ["RawHeaders", "ResponseHeaders"]

RawHeaders = tuple[tuple[bytes, bytes], ...]


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

    def added(self, own: list[tuple[bytes, bytes]], request_id: str, scope: Scope) -> RawHeaders:
        """Return what is added to the application's ``own`` headers: all but what it has set itself."""
        ours = ((b"x-request-id", request_id.encode()), *(self.secure if scope["scheme"] == "https" else self.plain))
        names = self.names
        for name, _ in own:
            if name in names:
                taken = {name for name, _ in own}
                return tuple(pair for pair in ours if pair[0] not in taken)
        return ours
