"""The client's address behind proxies that are known by address."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from starlette.types import Scope

__all__ = ["TrustedProxies"]

#: Peers whose trust is remembered; beyond it the memory starts anew.
_REMEMBERED = 4096


class TrustedProxies:
    """Finds who calls. ``X-Forwarded-For`` is believed from known proxies only, because anybody can send one.

    :param networks: addresses (``10.0.0.7``) or networks (``10.0.0.0/8``) of the proxies; ``unix`` for peers on a
        Unix socket, which have no address.
    :ivar nobody: whether no proxy is known: who connects is who calls then.
    """

    __slots__ = ("_networks", "_trusted", "_unix", "nobody")

    def __init__(self, networks: Iterable[str] = ()) -> None:
        names = tuple(networks)
        self._networks: tuple[Any, ...] = tuple(ip_network(name, strict=False) for name in names if name != "unix")
        self._unix = "unix" in names
        self.nobody = not names
        self._trusted: dict[str, bool] = {}

    def client(self, scope: Scope) -> str:
        """Return the address of the client, an empty string when there is none (a Unix socket).

        The header is read from its end: each trusted proxy vouches for the entry before its own.
        """
        peer = scope.get("client")
        address: str = peer[0] if peer else ""
        if self.nobody or not self._trusts(address):
            return address
        entries: list[str] = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                entries.extend(value.decode("latin-1").split(","))
        for entry in reversed(entries):
            candidate = _address(entry)
            if candidate is None:
                break
            address = candidate
            if not self._trusts(address):
                break
        return address

    def _trusts(self, address: str) -> bool:
        if not address:
            return self._unix
        if not self._networks:
            return False
        known = self._trusted.get(address)
        if known is None:
            if len(self._trusted) >= _REMEMBERED:
                self._trusted.clear()
            known = self._trusted[address] = self._contains(address)
        return known

    def _contains(self, address: str) -> bool:
        try:
            ip: Any = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(ip, "ipv4_mapped", None)
        return any((mapped or ip) in network for network in self._networks)


def _address(entry: str) -> str | None:
    """Return the address of an entry such as ``1.2.3.4``, ``1.2.3.4:80`` or ``[::1]:80``; None when it is none."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None
