"""The logger to call: an event and keywords.

.. code-block:: python

    log = get_logger(__name__)
    log.info("report_built", organisation=42, rows=1200)
    log = log.bind(organisation=42)     # in every record from here on

It stands on a logger of :mod:`logging` of the same name: levels, handlers and pytest's ``caplog`` work as ever, and it
may be called before a service starts. Once one runs, records leave as JSON lines.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING
from typing import Any, Final

from bedplate.telemetry.logs.records import make_record

__all__ = ["EventLogger", "get_logger"]

_NO_CONTEXT: Final[Mapping[str, Any]] = {}


class EventLogger:
    """Logs events with keyword context; implements :class:`bedplate.component.Logger`.

    ``exc_info`` is not context: an exception, or true for the one that is being handled.
    """

    __slots__ = ("_context", "_enabled", "_logger")

    def __init__(self, logger: logging.Logger, context: Mapping[str, Any] = _NO_CONTEXT) -> None:
        self._logger = logger
        self._enabled = logger.isEnabledFor
        self._context = context

    @property
    def name(self) -> str:
        """The logger's name."""
        return self._logger.name

    def bind(self, **context: Any) -> EventLogger:
        """Return a logger that adds the context to every record."""
        return EventLogger(self._logger, {**self._context, **context})

    def debug(self, event: str, /, **context: Any) -> None:
        """Log at DEBUG."""
        if self._enabled(DEBUG):
            self._log(DEBUG, event, context)

    def info(self, event: str, /, **context: Any) -> None:
        """Log at INFO."""
        if self._enabled(INFO):
            self._log(INFO, event, context)

    def warning(self, event: str, /, **context: Any) -> None:
        """Log at WARNING."""
        if self._enabled(WARNING):
            self._log(WARNING, event, context)

    def error(self, event: str, /, **context: Any) -> None:
        """Log at ERROR."""
        if self._enabled(ERROR):
            self._log(ERROR, event, context)

    def exception(self, event: str, /, **context: Any) -> None:
        """Log at ERROR with the exception that is being handled."""
        if self._enabled(ERROR):
            context.setdefault("exc_info", True)
            self._log(ERROR, event, context)

    def critical(self, event: str, /, **context: Any) -> None:
        """Log at CRITICAL."""
        if self._enabled(CRITICAL):
            self._log(CRITICAL, event, context)

    def log(self, level: int, event: str, /, **context: Any) -> None:
        """Log at a level given by number."""
        if self._enabled(level):
            self._log(level, event, context)

    def _log(self, level: int, event: str, context: dict[str, Any], depth: int = 2) -> None:
        error = handled(context.pop("exc_info")) if "exc_info" in context else None
        if self._context:
            context = {**self._context, **context}
        self._logger.handle(make_record(self._logger, level, event, context, error, depth))

    def __repr__(self) -> str:
        return f"<EventLogger {self._logger.name}>"


def get_logger(name: str = "", /, **context: Any) -> EventLogger:
    """Return the logger of this name (the root's without one), with context for every record; cheap, at any time."""
    return EventLogger(logging.getLogger(name or None), context or _NO_CONTEXT)


def handled(exc_info: object) -> BaseException | None:
    """Return the exception that ``exc_info`` means, in any of the forms that :mod:`logging` takes."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple) and len(exc_info) == 3 and isinstance(exc_info[1], BaseException):
        return exc_info[1]
    return sys.exc_info()[1] if exc_info else None
