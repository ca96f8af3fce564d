"""The several servers that a URL may name."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from bedplate.problems import BedplateError

__all__ = ["Watched", "members", "shown", "watched"]


def shown(url: str) -> str:
    """Return an address for people, without user, password and options.

    :raises ValueError: when its password is not percent-encoded, so that a part of it would be shown.
    """
    parts = urlsplit(url)
    if "@" in parts.path:  # a / in the password ends the host too early
        raise ValueError("A password that is not percent-encoded.")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Watched(NamedTuple):
    """What a URL says of Sentinels: where they are, what they call the primary, and who we are there."""

    hosts: tuple[tuple[str, int], ...]
    primary: str
    db: int
    username: str
    password: str


def watched(url: str) -> Watched:
    """Read ``redis+sentinel://user:password@a:26379,b:26379/primary/0``.

    The user and password are for the servers; those for Sentinels are ``?sentinel_username=…&sentinel_password=…``.

    :raises BedplateError: when it names no primary, or a host or database that cannot be.
    """
    parts = urlsplit(url)
    primary, _, db = parts.path.strip("/").partition("/")
    options = parse_qs(parts.query)
    try:
        hosts, number = _hosts(parts.netloc, 26379), int(db or 0)
    except ValueError:
        hosts, number = (), 0
    if not hosts or not primary:
        raise BedplateError(
            f"{shown(url)} does not say where Sentinels are and what they call the primary.",
            "Write redis+sentinel://host:26379,host:26379/name/0.",
        )
    who = (options.get(f"sentinel_{word}", [""])[0] for word in ("username", "password"))
    return Watched(hosts, unquote(primary), number, *who)


def members(url: str) -> tuple[tuple[str, int], ...]:
    """Read ``redis+cluster://user:password@a:7000,b:7000``: some servers of a cluster, which know the others.

    :raises BedplateError: when a host cannot be, or it names a database.
    """
    parts = urlsplit(url)
    if parts.path.strip("/") not in ("", "0"):
        raise BedplateError(f"{shown(url)} names a database, and a cluster has but one.", "Leave it out.")
    try:
        return _hosts(parts.netloc, 6379)
    except ValueError:
        raise BedplateError(
            f"{shown(url)} does not say where the servers are.", "Write redis+cluster://host:7000,host:7000."
        ) from None


def _hosts(netloc: str, port: int) -> tuple[tuple[str, int], ...]:
    return tuple(_host(text, port) for text in netloc.rpartition("@")[2].split(","))


def _host(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(text)
    return parts.hostname, parts.port or port
