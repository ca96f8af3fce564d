"""Brings everything that logs in this process to Bedplate: :mod:`logging`, warnings, uvicorn and structlog.

There is one bridge a process. It stands while at least one service's logs run, and leaves everything as it was.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from typing import Any, Final, Protocol

from bedplate.telemetry.attached import Attached
from bedplate.telemetry.logs.levels import LEVELS
from bedplate.telemetry.logs.logger import handled
from bedplate.telemetry.logs.records import FastRecord, make_record

__all__ = ["LogTaker", "attached", "bridge"]


class LogTaker(Protocol):
    """Takes the records of one service."""

    def take(self, record: logging.LogRecord) -> None:
        """Take a record; never raises."""
        ...


#: The running logs of this process.
attached: Final[Attached[LogTaker]] = Attached("bedplate_logs")


class _RootHandler(logging.Handler):
    """Hands every record to the service that it belongs to, without the lock of other handlers."""

    def handle(self, record: logging.LogRecord) -> bool:
        if self.filters and not self.filter(record):
            return False
        taker = attached.present()
        if taker is not None:
            taker.take(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record over, for whoever calls a handler directly."""
        self.handle(record)


class Bridge:
    """What is changed in other libraries while a service runs, and how to change it back."""

    def __init__(self) -> None:
        self._handler = _RootHandler()
        self._lock = threading.Lock()
        self._undo: list[Callable[[], None]] = []

    def attach(self, taker: LogTaker) -> None:
        """Send records to a service's logs."""
        with self._lock:
            if attached.attach(taker):
                self._install()

    def detach(self, taker: LogTaker) -> None:
        """Send no more records to a service's logs."""
        with self._lock:
            if attached.detach(taker):
                while self._undo:
                    self._undo.pop()()

    def _install(self) -> None:
        root = logging.getLogger()
        for logger in (root, *_loggers()):
            self._take_over(logger)
        if logging.getLogRecordFactory() is logging.LogRecord:
            logging.setLogRecordFactory(FastRecord)
            self._undo.append(lambda: logging.setLogRecordFactory(logging.LogRecord))
        root.addHandler(self._handler)
        self._undo.append(lambda: root.removeHandler(self._handler))
        if not _warnings_captured():
            logging.captureWarnings(True)
            self._undo.append(lambda: logging.captureWarnings(False))
        if importlib.util.find_spec("structlog") is not None:
            self._configure_structlog()

    def _take_over(self, logger: logging.Logger) -> None:
        """Take away handlers that write to a standard stream: their records would show twice."""
        ours = [handler for handler in logger.handlers if _writes_to_console(handler)]
        if not ours:
            return
        propagate = logger.propagate
        for handler in ours:
            logger.removeHandler(handler)
        logger.propagate = True

        def give_back() -> None:
            for handler in ours:
                logger.addHandler(handler)
            logger.propagate = propagate

        self._undo.append(give_back)

    def _configure_structlog(self) -> None:
        import structlog

        if structlog.is_configured():
            return  # the service has a pipeline of its own, and may end it in structlog.stdlib
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, _from_structlog],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
            logger_factory=lambda *args: logging.getLogger(*(str(arg) for arg in args[:1])),
            cache_logger_on_first_use=False,
        )
        self._undo.append(structlog.reset_defaults)


def _from_structlog(logger: logging.Logger, method: str, event: MutableMapping[str, Any]) -> Any:
    """Log a structlog event as a record of :mod:`logging`, at the place of the call, and end structlog's pipeline."""
    import structlog

    level = LEVELS.get(_METHODS.get(method, method).upper(), logging.INFO)
    if logger.isEnabledFor(level):
        exc_info = event.pop("exc_info", method == "exception")
        message = str(event.pop("event", ""))
        depth = 0
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("structlog"):
            frame = frame.f_back
            depth += 1
        logger.handle(make_record(logger, level, message, dict(event), handled(exc_info), depth + 1))
    raise structlog.DropEvent


_METHODS: Final = {"warn": "warning", "fatal": "critical", "exception": "error", "err": "error", "msg": "info"}


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logger for logger in list(known) if isinstance(logger, logging.Logger)]


def _writes_to_console(handler: logging.Handler) -> bool:
    # Subclasses are left alone, but for uvicorn's: pytest's capture is one, and whoever wrote his own meant it.
    if type(handler) is not logging.StreamHandler:
        return False
    return handler.stream in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)


def _warnings_captured() -> bool:
    return getattr(logging, "_warnings_showwarning", None) is not None


#: The bridge of this process.
bridge: Final = Bridge()
