"""The cookie that carries a session: named, found among others, and set so that nobody else gets it."""

from __future__ import annotations

import re
from typing import Literal

from starlette.types import Scope

from bedplate.problems import DeclarationError

__all__ = ["Cookie", "SameSite"]

SameSite = Literal["lax", "strict", "none"]

_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")


class Cookie:
    """Reads and writes one cookie.

    Over HTTPS its name begins with ``__Host-``: browsers then take it only from this very host, over HTTPS and for all
    paths, so no neighbouring subdomain can plant one. It is ``Secure`` and ``HttpOnly``.

    :param name: without that prefix. :param plain: whether it may also go over plain HTTP, without the prefix and
        ``Secure``: for development alone. :param max_age: seconds that the browser keeps it, 0 until it is closed.
    """

    def __init__(self, name: str, *, same_site: SameSite = "lax", max_age: int = 0, plain: bool = False) -> None:
        if not _NAME.match(name):
            raise DeclarationError(f"{name!r} cannot name a cookie.", "Use letters, digits, - and _.")
        if same_site not in ("lax", "strict", "none"):
            raise DeclarationError(f"A cookie cannot be SameSite={same_site}.", "Use lax, strict or none.")
        self.name = name
        self._plain = plain
        self._prefixes = (f"__Host-{name}=".encode(), f"{name}=".encode())
        age = f"; Max-Age={max_age}" if max_age else ""
        rest = f"; Path=/; HttpOnly; SameSite={same_site.capitalize()}"
        self._set = (f"; Secure{rest}{age}".encode(), f"{rest}{age}".encode())
        self._unset = (f"; Secure{rest}; Max-Age=0".encode(), f"{rest}; Max-Age=0".encode())

    def is_plain(self, scope: Scope) -> bool:
        """Whether this request gets the cookie without ``Secure``."""
        return self._plain and scope.get("scheme") in ("http", "ws")

    def of(self, scope: Scope) -> str:
        """Return what the cookie of a request says, empty when there is none."""
        prefix = self._prefixes[self._plain and self.is_plain(scope)]
        value: bytes
        for name, value in scope["headers"]:
            if name == b"cookie" and prefix in value:
                if value.startswith(prefix) and b";" not in value:
                    return value[len(prefix) :].decode("latin-1")
                for part in value.split(b";"):
                    part = part.strip()
                    if part.startswith(prefix):
                        return part[len(prefix) :].decode("latin-1")
        return ""

    def set(self, scope: Scope, value: str | None) -> bytes:
        """Return the header that gives the browser the cookie; with None, that takes it away."""
        plain = self.is_plain(scope)
        if value is None:
            return self._prefixes[plain] + self._unset[plain]
        return self._prefixes[plain] + value.encode() + self._set[plain]
