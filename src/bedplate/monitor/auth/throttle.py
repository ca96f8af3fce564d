"""How often one client may be wrong."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

__all__ = ["Throttle", "client_key"]


class Throttle:
    """Counts failures a client with the generic cell rate algorithm: ``limit`` at once, then evenly over ``period``.

    Only failures cost anything. Memory is bounded: with more than ``capacity`` clients the one that failed longest
    ago is forgotten.
    """

    def __init__(self, limit: int, period: float = 60.0, capacity: int = 4096) -> None:
        self._spacing = period / limit
        self._slack = period - self._spacing
        self._capacity = capacity
        self._due: OrderedDict[str, float] = OrderedDict()

    def wait(self, client: str, now: float) -> float:
        """Return the seconds until ``client`` may try again, 0 when it may now."""
        due = self._due.get(client)
        return 0.0 if due is None else max(0.0, due - now - self._slack)

    def fail(self, client: str, now: float) -> None:
        """Count one failure."""
        self._due[client] = max(now, self._due.get(client, now)) + self._spacing
        self._due.move_to_end(client)
        while len(self._due) > self._capacity:
            self._due.popitem(last=False)


def client_key(host: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network that one IPv6 subscriber gets."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((address, 64), strict=False))
    return host
