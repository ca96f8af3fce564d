"""Where a request comes from: another site's page, or a caller on this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.types import Scope

from bedplate.monitor.replies import header

__all__ = ["is_cross_site", "is_local", "is_safe"]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_safe(scope: Scope) -> bool:
    """Tell whether the method only reads; a WebSocket does not count as such."""
    return scope["type"] == "http" and scope["method"] in _SAFE


def is_cross_site(scope: Scope) -> bool:
    """Tell whether a browser sends this on behalf of another site's page.

    Browsers say so in ``Sec-Fetch-Site``; older ones send at least ``Origin``. Other clients send neither.
    """
    site = header(scope, b"sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = header(scope, b"origin")
    return origin is not None and _authority(origin) != (header(scope, b"host") or "").lower()


def _authority(origin: str) -> str | None:
    _, scheme, authority = origin.lower().partition("://")
    return authority if scheme else None


def is_local(scope: Scope) -> bool:
    """Tell whether the caller is on this machine and asks for it by a local name.

    The name matters: a page on the Internet can point its own host name at 127.0.0.1 (DNS rebinding) and would
    else read the answer. Names with a dot are not local, except addresses and ``*.localhost``.
    """
    client = scope.get("client")
    return client is not None and _is_loopback(client[0]) and _is_local_name(header(scope, b"host") or "")


def _is_loopback(host: str) -> bool:
    if host == "testclient":  # what Starlette's TestClient calls itself; no socket has such an address
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_local_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return _is_loopback(name) or name.endswith(".localhost") or ("." not in name and ":" not in name)
