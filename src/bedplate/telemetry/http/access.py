"""The access log: one JSON record a request, formed and handed over as one line of bytes.

Half of a record is the same for every request of a method, route and status, and is formed once. The rest is written
around it; texts that come from the client are redacted and escaped once, and remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from logging import INFO
from time import time
from typing import Any
from urllib.parse import unquote_plus

import orjson
from starlette.types import Scope

from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.http.later import Record
from bedplate.telemetry.logs.timestamp import stamp
from bedplate.telemetry.logs.writer import Writer
from bedplate.telemetry.redaction import REDACTED, Redactor

__all__ = ["AccessLog", "Shared", "Sink"]

#: Where a line goes; it ends with a newline.
Sink = Callable[[bytes], Any]

#: Two parts of a record, as JSON without braces.
Shared = tuple[str, str]

#: What a line is made of: a report as it is put off, what its kind shares, and what few records have.
Said = tuple[Record, Shared, tuple[str, str] | None]

_LOGGER = "bedplate.access"
_FILE = "access.py"
_FUNCTION = "write"
#: Texts remembered in their escaped form; beyond it the memory starts anew.
_REMEMBERED = 2048
_LONGEST = 256
#: Bytes of a record without its path, roughly.
_SIZE = 560


class AccessLog:
    """Writes access records.

    :param sink: takes one line of bytes, newline included; a writer forms the lines itself, when it hands them over.
    :param secret_parameters: names of query parameters whose values are not shown, besides those that ``redactor``
        knows.
    :ivar service: the service's name, a field of every record.
    :ivar writer: who forms the lines; None when each goes to the sink at once.
    """

    __slots__ = ("_escaped", "_redactor", "_secrets", "_sink", "service", "writer")

    def __init__(
        self,
        sink: Sink | Writer,
        service: str = "",
        redactor: Redactor | None = None,
        secret_parameters: Iterable[str] = (),
    ) -> None:
        self._sink: Sink = sink.write if isinstance(sink, Writer) else sink
        self.writer = sink if isinstance(sink, Writer) else None
        self._redactor = redactor or Redactor()
        self._secrets = frozenset(name.lower() for name in secret_parameters)
        self._escaped: dict[str, str] = {}
        self.service = service

    def shared(self, method: str, route: str, status: int) -> Shared:
        """Return what the records of a method, route and status share, for :meth:`write`."""
        head = {"logger": _LOGGER, "message": f"{method} {route} {status}"}
        body = {
            "service": self.service,
            "file": _FILE,
            "line": _LINE,
            "function": _FUNCTION,
            "method": method,
            "route": route,
            "status": status,
        }
        return orjson.dumps(head)[1:-1].decode(), orjson.dumps(body)[1:-1].decode()

    def write(
        self,
        level: int,
        shared: Shared,
        context: WorkContext,
        scope: Scope,
        duration: float,
        request_size: int,
        response_size: int,
        client: str,
        more: dict[str, Any] | None = None,
    ) -> None:
        """Write the record of one request.

        :param level: of :mod:`logging`. :param shared: from :meth:`shared`.
        :param duration: in seconds; sizes are in bytes.
        :param more: further fields; the context's own are added by themselves.
        """
        path = scope["path"]
        # What may change after the request is written down now, and text is made of the rest when it is handed over.
        rest = None if more is None and context.fields is None else self._rest(context, more)
        told = (None, path, None, scope["query_string"], None)
        record = (None, told, client, 0, request_size, response_size, duration, time(), context)
        said = (level, self.line, ((record, shared, rest),))
        if self.writer is None:
            self._sink(self.line(said))
        else:
            self.writer.defer(said, _SIZE + len(path))

    def write_all(self, said: Sequence[Said], offset: float, paths: int) -> None:
        """Write records of level INFO that were put off.

        :param offset: from the clock of their ends to Unix time. :param paths: the length of their paths together.
        """
        assert self.writer is not None
        self.writer.defer((INFO, self.lines, said, offset), _SIZE * len(said) + paths)

    def lines(self, bulk: tuple[Any, ...]) -> list[bytes]:
        """Return the lines of records, formed in one loop; without those that cannot be formed.

        :param bulk: level INFO, this method, what they say, and what leads from their clock to Unix time.
        """
        _, _, said, offset = bulk
        lines: list[bytes] = []
        for one in said:
            try:
                lines.append(self._formed("INFO", one, offset))
            except Exception:
                continue  # it must not take the others with it; the writer counts what is missing
        return lines

    def line(self, said: tuple[Any, ...]) -> bytes:
        """Return the line of a single record, whose end is in Unix time."""
        return self._formed("INFO" if said[0] == INFO else "ERROR", said[2][0], 0.0)

    def _formed(self, level: str, said: Said, offset: float) -> bytes:
        (_, told, client, _, received, sent, duration, ended, context), (head, body), rest = said
        _, text, _, query, peer = told
        path = self._escaped.get(text)
        if path is None:
            path = self._escape(text)
        if client is None:
            client = peer[0] if peer else ""
        user, tail = ("null", "") if rest is None else rest
        if query:
            tail += f',"query":{orjson.dumps(self._query(query)).decode()}'
        # Ids need no escaping (identity.py); addresses come from the server or are parsed.
        return (
            f'{{"timestamp":"{stamp(ended + offset)}","level":"{level}",{head},"request_id":"{context.request_id}",'
            f'"user_id":{user},{body},"trace_id":"{context.trace_id}","span_id":"{context.span_id}","path":{path},'
            f'"client":"{client}","duration_ms":{duration * 1e3:.3f},"request_size":{received},'
            f'"response_size":{sent}{tail}}}\n'
        ).encode()

    def _rest(self, context: WorkContext, more: dict[str, Any] | None) -> tuple[str, str]:
        """Return the user's id and the fields that few requests have."""
        rest: dict[str, Any] = {**(more or {})}
        user = None
        if context.fields is not None:
            fields = self._redactor.mapping(context.fields)
            user = fields.pop("user_id", None)
            # A bound field may not pass for a field of the record.
            rest = {f"{name}_" if name in _FIELDS else name: value for name, value in fields.items()} | rest
        said = orjson.dumps(rest)[1:-1].decode()
        return orjson.dumps(user).decode(), f",{said}" if said else ""

    def _escape(self, text: str) -> str:
        escaped = orjson.dumps(self._redactor.text(text)).decode()
        if len(self._escaped) >= _REMEMBERED:
            self._escaped.clear()
        if len(text) <= _LONGEST:
            self._escaped[text] = escaped
        return escaped

    def _query(self, query: bytes) -> str:
        parts = [self._part(part) for part in query.decode("latin-1").split("&")]
        return self._redactor.text("&".join(parts))

    def _part(self, part: str) -> str:
        name, equals, _ = part.partition("=")
        plain = unquote_plus(name)
        secret = equals and (plain.lower() in self._secrets or self._redactor.is_secret(plain))
        return f"{name}={REDACTED}" if secret else part


_LINE = AccessLog.write.__code__.co_firstlineno
_FIELDS = frozenset(
    "timestamp level logger message service file line function method route status request_id trace_id span_id path "
    "client duration_ms request_size response_size query error_type method_original outcome".split()
)
