"""Log records of :mod:`logging` with structured context, and their form as JSON lines.

A line has the fields ``timestamp, level, logger, message, request_id, user_id, service, file, line, function``, always
and in this order; then, where there is something to say, ``trace_id``, ``span_id``, ``exception`` (``type``,
``message``, ``stack``) and the fields of the context.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from threading import current_thread, get_ident
from time import time
from typing import Any, Final

import orjson

from bedplate.telemetry.context import current
from bedplate.telemetry.logs.timestamp import stamp
from bedplate.telemetry.redaction import Redactor, describe
from bedplate.telemetry.stacks import qualified_name, render, short_path

__all__ = ["STANDARD_FIELDS", "EventRecord", "FastRecord", "LineEncoder", "make_record"]

#: The fields that a context may not replace; one that would is renamed with an underscore at its end.
STANDARD_FIELDS: Final = frozenset(
    {"timestamp", "level", "logger", "message", "service", "file", "line", "function", "exception"}
)

#: What a record of the standard library has without ``extra``.
_OWN: Final = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__)
#: What no caller gave as ``extra``; uvicorn gives its message a second time, with escape sequences for a terminal.
_NOT_EXTRA: Final = _OWN | {"message", "asctime", "color_message"}
_HAS_TASK_NAME: Final = "taskName" in _OWN
_MAX_PLACES: Final = 8_192

_dumps = orjson.dumps


class FastRecord(logging.LogRecord):
    """A record with all attributes of its base class, made in half the time.

    Paths are split once, and the process is not looked up for every record. The bridge makes it the record factory.
    """

    def __init__(
        self,
        name: str,
        level: int,
        pathname: str,
        lineno: int,
        msg: object,
        args: Any,
        exc_info: Any,
        func: str | None = None,
        sinfo: str | None = None,
        **_: Any,
    ) -> None:
        now = time()
        self.name = name
        self.msg = msg
        # A single mapping is for "%(name)s" in the message, as the standard library has it.
        self.args = args[0] if args and len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args
        self.levelname = logging.getLevelName(level)
        self.levelno = level
        self.pathname = pathname
        self.filename, self.module = _file_names(pathname)
        self.exc_info = exc_info
        self.exc_text = None
        self.stack_info = sinfo
        self.lineno = lineno
        self.funcName = func  # type: ignore[assignment]
        self.created = now
        self.msecs = now % 1 * 1000
        self.relativeCreated = (now - _STARTED) * 1000
        self.thread = get_ident()
        self.threadName = current_thread().name
        self.processName = _process.name
        self.process = _process.pid
        if _HAS_TASK_NAME:
            self.taskName = None


class EventRecord(FastRecord):
    """A record with context as keywords. Handlers that are not Bedplate's show it as ``event key=value …``."""

    context: Mapping[str, Any]

    def getMessage(self) -> str:  # noqa: N802 — the standard library's name
        """Return the event, with its context redacted."""
        if not self.context:
            return str(self.msg)
        pairs = (f"{name}={value!r}" for name, value in _plain_redactor.mapping(self.context).items())
        return f"{self.msg} {' '.join(pairs)}"


class _Process:
    """This process, looked up once."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.name = "MainProcess" if "multiprocessing" not in sys.modules else _process_name()
        os.register_at_fork(after_in_child=self._look_again)

    def _look_again(self) -> None:
        self.pid = os.getpid()


def _process_name() -> str:
    from multiprocessing import current_process

    return current_process().name


_process: Final = _Process()


@lru_cache(maxsize=4096)
def _file_names(path: str) -> tuple[str, str]:
    name = path.rpartition("/")[2]
    return name, name.rpartition(".")[0] or name


_plain_redactor = Redactor()
_STARTED: Final = time()
#: Threads that are encoding a record; one that does so again was asked to by the ``__str__`` of something logged.
_encoding: Final[set[int]] = set()
os.register_at_fork(after_in_child=_encoding.clear)


class LineEncoder:
    """Turns records into lines; never raises.

    :param service: the service's name. :param redactor: takes secrets out of messages, context and exceptions.
    :ivar failures: records of which only the least could be written. :ivar recursions: records made while a record was
        being encoded in the same thread, by the ``__str__`` of something logged; they are dropped.
    """

    def __init__(self, service: str, redactor: Redactor) -> None:
        self.service = service
        self.redactor = redactor
        self.failures = 0
        self.recursions = 0
        # What a line says of the place of a call never changes: it is encoded once a place.
        self._places: dict[tuple[str, int, str, int], tuple[bytes, bytes]] = {}

    def encode(self, record: logging.LogRecord) -> bytes | None:
        """Return the record as one JSON object and a line end, None when it must be dropped."""
        thread = get_ident()
        if thread in _encoding:
            self.recursions += 1
            return None
        _encoding.add(thread)
        try:
            return self._encode(record)
        except Exception as error:
            self.failures += 1
            return self._fallback(record, error)
        finally:
            _encoding.discard(thread)

    def _encode(self, record: logging.LogRecord) -> bytes:
        redactor = self.redactor
        context: Mapping[str, Any] | None
        if type(record) is EventRecord:
            message = record.msg
            context = record.context
        else:
            message = record.getMessage() if record.args else record.msg
            context = _extra(record) if len(record.__dict__) > len(_OWN) else None
        head: dict[str, Any] = {
            "message": redactor.text(message if type(message) is str else describe(message)),
            "request_id": None,
            "user_id": None,
        }
        rest: dict[str, Any] = {}
        work = current.get()
        if work is not None:
            head["request_id"] = work.request_id
            rest["trace_id"] = work.trace_id
            rest["span_id"] = work.span_id
            if work.fields:
                self._merge(work.fields, head, rest)
        if record.exc_info:
            error = record.exc_info[1]
            if error is not None:
                rest["exception"] = self.exception(error)
        if context:
            self._merge(context, head, rest)
        if record.stack_info:
            rest.setdefault("stack", redactor.text(record.stack_info))
        before, after = self._place(record)
        body = _dumps(head)[1:-1]
        prefix = f'{{"timestamp":"{stamp(record.created)}"'.encode()
        if not rest:
            return b"".join((prefix, before, body, after, b"}\n"))
        return b"".join((prefix, before, body, after, b",", _dumps(rest)[1:], b"\n"))

    def exception(self, error: BaseException) -> dict[str, Any]:
        """Return the field ``exception`` of an exception."""
        text = self.redactor.text
        limit = self.redactor.limit
        return {
            "type": qualified_name(type(error)),
            "message": text(describe(error)),
            "stack": render(error, 2 * limit, redactor=self.redactor),
        }

    def _merge(self, context: Mapping[str, Any], head: dict[str, Any], rest: dict[str, Any]) -> None:
        for name, value in self.redactor.mapping(context).items():
            if name in STANDARD_FIELDS:
                name = f"{name}_"
            if name in head:
                head[name] = value
            else:
                rest[name] = value

    def _place(self, record: logging.LogRecord) -> tuple[bytes, bytes]:
        key = (record.pathname, record.lineno, record.name, record.levelno)
        place = self._places.get(key)
        if place is None:
            level = logging.getLevelName(record.levelno)
            before = {"level": level, "logger": record.name}
            after = {
                "service": self.service,
                "file": short_path(record.pathname),
                "line": record.lineno,
                "function": record.funcName,
            }
            place = (b"," + _dumps(before, describe)[1:-1] + b",", b"," + _dumps(after, describe)[1:-1])
            if len(self._places) >= _MAX_PLACES:
                self._places = {}
            self._places[key] = place
        return place

    def _fallback(self, record: logging.LogRecord, error: Exception) -> bytes:
        """Return the least that can be said of a record that could not be encoded; its content may be the cause."""
        return orjson.dumps(
            {
                "timestamp": stamp(time()),
                "level": logging.getLevelName(record.levelno),
                "logger": describe(record.name),
                "message": self.redactor.text(record.msg, 1_000) if isinstance(record.msg, str) else "",
                "request_id": None,
                "user_id": None,
                "service": self.service,
                "file": short_path(record.pathname),
                "line": record.lineno,
                "function": describe(record.funcName),
                "log_failure": f"{type(error).__name__}: {self.redactor.text(describe(error), 500)}",
            },
            default=describe,
            option=orjson.OPT_APPEND_NEWLINE,
        )


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the caller gave as ``extra``."""
    return {name: value for name, value in record.__dict__.items() if name not in _NOT_EXTRA}


def make_record(
    logger: logging.Logger,
    level: int,
    event: str,
    context: Mapping[str, Any],
    error: BaseException | None,
    depth: int,
) -> EventRecord:
    """Return the record of a call ``depth`` frames above the caller of this function."""
    frame = sys._getframe(depth + 1)
    code = frame.f_code
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = EventRecord(logger.name, level, code.co_filename, frame.f_lineno, event, (), exc_info, code.co_name)
    record.context = context
    return record
