"""The access log: one JSON record a request, formed and handed over as one line of bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from time import gmtime, strftime, time
from typing import Any
from urllib.parse import unquote_plus

import orjson

from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.redaction import REDACTED, Redactor

__all__ = ["AccessLog", "Sink"]

#: Where a line goes; it ends with a newline.
Sink = Callable[[bytes], None]

_LOGGER = "bedplate.access"
_FILE = "access.py"
_FUNCTION = "write"
#: Paths remembered with what may be shown of them; beyond it the memory starts anew.
_REMEMBERED = 1024


class AccessLog:
    """Writes access records.

    :param sink: takes one line of bytes, newline included.
    :param secret_parameters: names of query parameters whose values are not shown, besides those that ``redactor``
        knows.
    :ivar service: the service's name, a field of every record.
    """

    __slots__ = ("_paths", "_prefix", "_redactor", "_second", "_secrets", "_sink", "service")

    def __init__(
        self, sink: Sink, service: str = "", redactor: Redactor | None = None, secret_parameters: Iterable[str] = ()
    ) -> None:
        self._sink = sink
        self._redactor = redactor or Redactor()
        self._secrets = frozenset(name.lower() for name in secret_parameters)
        self._paths: dict[str, str] = {}
        self._second = -1
        self._prefix = ""
        self.service = service

    def write(
        self,
        context: WorkContext,
        method: str,
        route: str,
        path: str,
        query: bytes,
        status: int,
        duration: float,
        request_size: int,
        response_size: int,
        client: str,
        error_type: str = "",
        more: dict[str, Any] | None = None,
    ) -> None:
        """Write the record of one request; ``duration`` in seconds, sizes in bytes, ``more`` are further fields."""
        now = time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second))
        fields = context.fields
        shown = self._paths.get(path)
        if shown is None:
            shown = self._show(path)
        record = {
            "timestamp": f"{self._prefix}{int((now - second) * 1e6):06d}Z",
            "level": "INFO" if status < 500 and not error_type else "ERROR",
            "logger": _LOGGER,
            "message": f"{method} {shown} {status}",
            "request_id": context.request_id,
            "user_id": None if fields is None else fields.get("user_id"),
            "service": self.service,
            "file": _FILE,
            "line": _LINE,
            "function": _FUNCTION,
            "trace_id": context.trace_id,
            "span_id": context.span_id,
            "method": method,
            "route": route,
            "path": shown,
            "status": status,
            "duration_ms": round(duration * 1e3, 3),
            "request_size": request_size,
            "response_size": response_size,
            "client": client,
        }
        if query:
            record["query"] = self._query(query)
        if error_type:
            record["error_type"] = error_type
        if more is not None:
            record.update(more)
        if fields is not None:
            # A bound field may not pass for a field of the record.
            record = {**self._redactor.mapping(fields), **record}
        try:
            line = orjson.dumps(record, str, orjson.OPT_APPEND_NEWLINE)
        except (TypeError, ValueError):
            # A path with lone surrogates, a number beyond 64 bits: slower, but nothing is lost.
            line = json.dumps(record, default=str).encode() + b"\n"
        self._sink(line)

    def _show(self, path: str) -> str:
        shown = self._redactor.text(path)
        if len(self._paths) >= _REMEMBERED:
            self._paths.clear()
        if len(path) < 256:
            self._paths[path] = shown
        return shown

    def _query(self, query: bytes) -> str:
        parts = [self._part(part) for part in query.decode("latin-1").split("&")]
        return self._redactor.text("&".join(parts))

    def _part(self, part: str) -> str:
        name, equals, _ = part.partition("=")
        plain = unquote_plus(name)
        secret = equals and (plain.lower() in self._secrets or self._redactor.is_secret(plain))
        return f"{name}={REDACTED}" if secret else part


_LINE = AccessLog.write.__code__.co_firstlineno
