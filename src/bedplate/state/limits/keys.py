"""Whom a limit counts: functions from a request's scope to a key, None for who is not limited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_network

from starlette.types import Scope

from bedplate.telemetry.http import TrustedProxies

__all__ = ["Key", "by_client", "by_header"]

Key = Callable[[Scope], str | None]

_REMEMBERED = 4096


def by_client(trusted_proxies: Iterable[str] = ()) -> Key:
    """Count by the client's address; an IPv6 client by its /64, which is what one client is given.

    :param trusted_proxies: addresses or networks of proxies whose ``X-Forwarded-For`` is believed.
    """
    proxies = TrustedProxies(trusted_proxies)
    nobody = proxies.nobody
    networks: dict[str, str] = {}

    def key(scope: Scope) -> str:
        if nobody:
            client = scope.get("client")
            address: str = client[0] if client else ""
        else:
            address = proxies.client(scope)
        if ":" not in address:
            return address
        network = networks.get(address)
        if network is None:
            if len(networks) >= _REMEMBERED:
                networks.clear()
            network = networks[address] = _network(address)
        return network

    return key


def by_header(name: str, otherwise: Key | None = None) -> Key:
    """Count by a request header such as ``X-API-Key``; requests without it by ``otherwise``, the client's address.

    Only for headers that something in front has verified: else every caller makes up a new one.
    """
    wanted = name.lower().encode("latin-1")
    fallback = otherwise or by_client()

    def key(scope: Scope) -> str | None:
        for header, value in scope["headers"]:
            if header == wanted:
                return "header:" + str(value.decode("latin-1"))
        return fallback(scope)

    return key


def _network(address: str) -> str:
    try:
        network = ip_network(f"{address.partition('%')[0]}/64", strict=False)
    except ValueError:
        return address
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return address if mapped is not None else str(network)
