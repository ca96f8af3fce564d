"""Response headers that every answer carries, as raw ASGI pairs computed once."""

from __future__ import annotations

from starlette.types import Scope

from bedplate.component import Environment
from bedplate.telemetry.http.settings import HttpSettings

__all__ = ["RawHeaders", "ResponseHeaders"]

RawHeaders = tuple[tuple[bytes, bytes], ...]


class ResponseHeaders:
    """The request id and the security headers, with HSTS over https in production."""

    __slots__ = ("_http", "_https", "_names")

    def __init__(self, settings: HttpSettings, environment: Environment) -> None:
        headers = settings.security_headers.items()
        self._http: RawHeaders = tuple((name.lower().encode(), value.encode("latin-1")) for name, value in headers)
        self._https = self._http
        if environment == "production" and settings.hsts:
            self._https += ((b"strict-transport-security", settings.hsts.encode()),)
        self._names = frozenset(name for name, _ in self._https) | {b"x-request-id"}

    def merge(
        self, own: list[tuple[bytes, bytes]], request_id: str, scope: Scope, more: RawHeaders
    ) -> list[tuple[bytes, bytes]]:
        """Return the application's ``own`` headers followed by ours; what it has set itself, it keeps.

        :param more: further headers, from guards; they are added in any case.
        """
        static = self._https if scope.get("scheme") == "https" else self._http
        names = self._names
        for name, _ in own:
            if name in names:
                taken = {name for name, _ in own}
                static = tuple(pair for pair in static if pair[0] not in taken)
                if b"x-request-id" in taken:
                    return [*own, *static, *more]
                break
        return [*own, (b"x-request-id", request_id.encode()), *static, *more]
