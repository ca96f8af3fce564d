"""Addresses of Redis servers: the URLs that people write, read by redis-py, and what opening a connection wants."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from bedplate.problems import BedplateError
from bedplate.state.redis.hosts import members, watched

__all__ = ["Address", "Topology", "address"]

#: How the servers behind a URL belong together: ``redis+sentinel://`` and ``redis+cluster://`` say it.
Topology = Literal["single", "sentinel", "cluster"]

_TLS = {
    "ssl_keyfile": "keyfile",
    "ssl_certfile": "certfile",
    "ssl_cert_reqs": "cert_reqs",
    "ssl_ca_certs": "ca_certs",
    "ssl_ca_path": "ca_path",
    "ssl_ca_data": "ca_data",
    "ssl_check_hostname": "check_hostname",
    "ssl_password": "password",
    "ssl_ciphers": "ciphers",
}
_KNOWN = {"host", "port", "path", "db", "username", "password", *_TLS}


@dataclass(frozen=True, slots=True)
class Address:
    """Where one server is, and who we are there.

    :ivar path: of a unix socket; empty for a host and a port. :ivar shown: for people, without the password.
    :ivar tls: what redis-py's ``RedisSSLContext`` takes; None without TLS.
    """

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: dict[str, Any] | None = field(default=None, repr=False)
    shown: str = ""

    def at(self, host: str, port: int) -> Address:
        """Return the address of another server of the same service: the same user, password and TLS."""
        scheme = "redis" if self.tls is None else "rediss"
        where = f"[{host}]" if ":" in host else host
        return replace(self, host=host, port=port, path="", shown=f"{scheme}://{where}:{port}")

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context; it reads the files that the URL names.

        :raises OSError: when a file cannot be read. :raises ssl.SSLError: when it is no certificate.
        """
        if self.tls is None:
            return None
        from redis.asyncio.connection import RedisSSLContext

        # As browsers do: without a word in the URL the certificate must be right, and for this host.
        options = {"cert_reqs": "required", "check_hostname": True, **self.tls}
        return RedisSSLContext(**options).get()


def address(url: str) -> tuple[Topology, Address]:
    """Read ``redis://user:password@host:6379/0``, ``rediss://`` or ``unix:///path?db=0``, perhaps with ``+sentinel``.

    Options of TLS are those of redis-py: ``ssl_ca_certs=/path``, ``ssl_cert_reqs=none`` … Where the URL names several
    hosts (``redis+sentinel://a:26379,b:26379/primary``) the first stands in the address.

    :raises BedplateError: when it is no such URL, says too little, or the client is not installed. It hides the
        password.
    """
    scheme, _, kind = url.partition("://")[0].partition("+")
    topology = cast(Topology, kind or "single")
    if scheme not in ("redis", "rediss", "unix") or topology not in ("single", "sentinel", "cluster"):
        raise BedplateError(
            "The address of Redis has a scheme that is not known.",
            "Write redis://user:password@host:6379/0, rediss:// for TLS, or unix:///path.",
        )
    if find_spec("redis") is None or find_spec("hiredis") is None:
        raise BedplateError(
            "The client of Redis is not installed.", "Install the extra: pip install 'bedplate[redis]'."
        )
    from redis.asyncio.connection import parse_url

    try:
        shown = _shown(url)
        found = cast(dict[str, Any], dict(parse_url(f"{scheme}://{_first(url)}")))
    except ValueError:
        # The cause is not told: it may quote the password.
        raise BedplateError(
            "The address of Redis cannot be taken apart.", "Percent-encode what is special in it: / as %2F, @ as %40."
        ) from None
    found.pop("connection_class", None)
    if topology == "sentinel":
        found["db"] = watched(url).db
        for name in ("sentinel_username", "sentinel_password"):  # who we are there is not who we are at the servers
            found.pop(name, None)
    elif topology == "cluster":
        members(url)
    if unknown := sorted(found.keys() - _KNOWN):
        raise BedplateError(
            f"{shown} has the option {unknown[0]}, which is not known.",
            "Time-outs and the like are settings: BEDPLATE_REDIS__TIMEOUT.",
        )
    tls = {_TLS[name]: found.pop(name) for name in _TLS if name in found}
    return topology, Address(**found, tls=tls if scheme == "rediss" else None, shown=shown)


def _shown(url: str) -> str:
    parts = urlsplit(url)
    if "@" in parts.path:  # a / in the password ends the host too early
        raise ValueError("A password that is not percent-encoded.")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _first(url: str) -> str:
    rest = url.partition("://")[2]
    netloc = urlsplit(url).netloc
    user, at, hosts = netloc.rpartition("@")
    return user + at + hosts.partition(",")[0] + rest[len(netloc) :]
