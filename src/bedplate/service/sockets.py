"""Sockets that are opened before anything starts, so that a port that is taken is told at once and in a sentence."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bedplate.problems import BedplateError

__all__ = ["ListenError", "address", "check_socket_path", "close_all", "host_and_port", "listen", "listen_unix"]

#: Connections that wait to be accepted.
_BACKLOG = 2048

#: Bytes of a unix socket's path on Linux; other systems have a few less.
_LONGEST_PATH = 103


class ListenError(BedplateError):
    """An address cannot be listened on."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address that a host name stands for; port 0 takes a free one, the same for all of them.

    :raises ListenError: when that cannot be done.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses = dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found)
        for family, sockaddr in addresses:
            listener = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6 and len(addresses) > 1:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((sockaddr[0], port or _port(sockets[0]), *sockaddr[2:]))
            listener.listen(_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        close_all(sockets)
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ListenError(f"Cannot listen on {host}:{port}: {why}.", "Stop what is there, or give another.") from error
    return sockets


def listen_unix(path: Path) -> socket.socket:
    """Listen on a unix socket that only this user may open; one that a dead process left there is replaced.

    :raises ListenError: when that cannot be done.
    """
    check_socket_path(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"Cannot listen on {path}: {error.strerror}.", "Give another run directory.") from error
    return listener


def check_socket_path(path: Path) -> None:
    """Raise :class:`ListenError` when a path is longer than a unix socket's may be."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ListenError(
            f"The path {path} is too long for a socket.",
            f"Give a run directory of fewer than {_LONGEST_PATH - 9} bytes.",
        )


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close sockets; errors of closing are nobody's concern."""
    for each in sockets:
        with contextlib.suppress(OSError):
            each.close()


def address(listener: socket.socket) -> str:
    """Return the URL at which a person can reach a listening socket."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(name[0], name[0])
    return f"http://[{host}]:{name[1]}" if ":" in host else f"http://{host}:{name[1]}"


def host_and_port(addresses: Sequence[str]) -> str:
    """Return ``host:port`` of the first of these URLs that has one; nothing when none has."""
    for url in addresses:
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.port:
            return parts.netloc
    return ""


def _port(listener: socket.socket) -> int:
    """Return the port that has been bound, 0 when none has."""
    return int(listener.getsockname()[1])
