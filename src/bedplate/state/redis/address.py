"""Addresses of Redis servers: the URLs that people write, and what opening a connection wants.

They are those of redis-py, whose reader would cost a service an eighth of a second at its start, and 8 MB.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, fields, replace
from importlib.util import find_spec
from typing import Any, Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from bedplate.problems import BedplateError
from bedplate.state.redis.hosts import members, shown, watched

__all__ = ["Address", "Topology", "address"]

#: How the servers behind a URL belong together: ``redis+sentinel://`` and ``redis+cluster://`` say it.
Topology = Literal["single", "sentinel", "cluster"]

_TLS = frozenset(
    f"ssl_{name}"
    for name in (
        "keyfile",
        "certfile",
        "cert_reqs",
        "ca_certs",
        "ca_path",
        "ca_data",
        "check_hostname",
        "password",
        "ciphers",
    )
)
_REQUIREMENTS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True)
class Address:
    """Where one server is, and who we are there.

    :ivar path: of a unix socket; empty for a host and a port. :ivar shown: for people, without the password.
    :ivar tls: the options of TLS by their names in the URL; None without TLS.
    """

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: dict[str, str] | None = field(default=None, repr=False)
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
        get = self.tls.get
        context = ssl.create_default_context(
            cafile=get("ssl_ca_certs"), capath=get("ssl_ca_path"), cadata=get("ssl_ca_data")
        )
        # As browsers do: without a word in the URL the certificate must be right, and for this host.
        needed = _REQUIREMENTS[get("ssl_cert_reqs", "required")]
        context.check_hostname = needed != ssl.CERT_NONE and _WORDS[get("ssl_check_hostname", "true")]
        context.verify_mode = needed
        if certificate := get("ssl_certfile"):
            context.load_cert_chain(certificate, get("ssl_keyfile"), get("ssl_password"))
        if ciphers := get("ssl_ciphers"):
            context.set_ciphers(ciphers)
        return context


def address(url: str) -> tuple[Topology, Address]:
    """Read ``redis://user:password@host:6379/0``, ``rediss://`` or ``unix:///path?db=0``, perhaps with ``+sentinel``.

    Options of TLS are ``ssl_ca_certs=/path``, ``ssl_cert_reqs=none``, ``ssl_certfile`` and ``ssl_keyfile`` … Where the
    URL names several hosts (``redis+sentinel://a:26379,b:26379/primary``) the first stands in the address.

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
    if find_spec("hiredis") is None:
        raise BedplateError(
            "What reads the answers of Redis is not installed.", "Install the extra: pip install 'bedplate[redis]'."
        )
    try:
        where, found = shown(url), _read(scheme, url, database=topology == "single")
    except ValueError:
        # The cause is not told: it may quote the password.
        raise BedplateError(
            "The address of Redis cannot be taken apart.", "Percent-encode what is special in it: / as %2F, @ as %40."
        ) from None
    if topology == "sentinel":
        found["db"] = watched(url).db
        for name in ("sentinel_username", "sentinel_password"):  # who we are there is not who we are at the servers
            found.pop(name, None)
    elif topology == "cluster":
        members(url)
    tls = {name: found.pop(name) for name in _TLS if name in found}
    if unknown := sorted(found.keys() - {name.name for name in fields(Address)}):
        raise BedplateError(
            f"{where} has the option {unknown[0]}, which is not known.",
            "Time-outs and the like are settings: BEDPLATE_REDIS__TIMEOUT.",
        )
    _check(where, tls)
    return topology, Address(**found, tls=tls if scheme == "rediss" else None, shown=where)


def _read(scheme: str, url: str, *, database: bool) -> dict[str, Any]:
    """Return what a URL says. Raises ValueError when it says what cannot be.

    :param database: whether its path is the number of one.
    """
    parts = urlsplit(f"{scheme}://{_first(url)}")
    found: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in (("username", parts.username), ("password", parts.password)):
        if value:
            found[name] = unquote(value)
    if scheme == "unix":
        found["path"] = unquote(parts.path)
        if not found["path"]:
            raise ValueError("A socket without a path.")
    else:
        found |= {"host": unquote(parts.hostname or "localhost"), "port": parts.port or 6379}
        if database and parts.path.strip("/"):
            found.setdefault("db", parts.path.strip("/"))
    if "db" in found:
        found["db"] = int(found["db"])
    return found


def _check(where: str, tls: dict[str, str]) -> None:
    for name, words in (("ssl_cert_reqs", _REQUIREMENTS), ("ssl_check_hostname", _WORDS)):
        if name in tls:
            tls[name] = tls[name].lower()
            if tls[name] not in words:
                raise BedplateError(f"{where} has a wrong {name}.", f"It is one of {', '.join(words)}.")


def _first(url: str) -> str:
    rest = url.partition("://")[2]
    netloc = urlsplit(url).netloc
    user, at, hosts = netloc.rpartition("@")
    return user + at + hosts.partition(",")[0] + rest[len(netloc) :]
