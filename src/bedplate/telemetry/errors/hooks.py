"""Where errors come from by themselves: the log, threads, the event loop, the end of the interpreter.

There is one set of hooks a process. It stands while at least one service's errors are kept, calls whatever hook was
there before, and leaves everything as it was.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Protocol

from bedplate.telemetry.attached import Attached
from bedplate.telemetry.errors.store import ErrorStore

__all__ = ["Keeper", "attached", "hooks", "on_loop"]

_logger = logging.getLogger("bedplate.errors")

#: Loggers that tell of exceptions which nobody caught.
_LAST_RESORTS: Final = frozenset(
    {"asyncio", "uvicorn.error", "concurrent.futures", "bedplate.http", "bedplate.errors", "celery.app.trace"}
)
_MESSAGE_LIMIT: Final = 1_000


class Keeper(Protocol):
    """Keeps the errors of one service."""

    @property
    def store(self) -> ErrorStore:
        """Where they are kept."""
        ...


#: The running error components of this process.
attached: Final[Attached[Keeper]] = Attached("bedplate_errors")


def _capture(error: BaseException, **more: Any) -> None:
    keeper = attached.present()
    if keeper is not None:
        keeper.store.capture(error, **more)


class _LogHandler(logging.Handler):
    """Captures the exceptions that records of level ERROR carry."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def handle(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not record.name.startswith("sentry_sdk"):
            message = record.msg if isinstance(record.msg, str) else ""
            log = {"logger": record.name, "level": record.levelname, "message": message[:_MESSAGE_LIMIT]}
            _capture(error, handled=record.name not in _LAST_RESORTS, log=log)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Capture, for whoever calls a handler directly."""
        self.handle(record)


class Hooks:
    """The hooks of this process."""

    def __init__(self) -> None:
        self._handler = _LogHandler()
        self._lock = threading.Lock()
        self._undo: list[Callable[[], None]] = []

    def attach(self, keeper: Keeper) -> None:
        """Send errors to a service's store."""
        with self._lock:
            if attached.attach(keeper):
                logging.getLogger().addHandler(self._handler)
                self._undo.append(lambda: logging.getLogger().removeHandler(self._handler))
                self._hook_interpreter()
                self._hook_threads()

    def detach(self, keeper: Keeper) -> None:
        """Send no more errors to a service's store."""
        with self._lock:
            if attached.detach(keeper):
                while self._undo:
                    self._undo.pop()()

    def _hook_interpreter(self) -> None:
        before = sys.excepthook

        def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
            if attached.present() is None or not issubclass(kind, Exception):
                before(kind, error, traceback)
                return
            # The record carries the exception to the store, and the stack to wherever records go.
            _logger.critical("Unhandled exception: the process ends", exc_info=(kind, error, traceback))
            if before is not sys.__excepthook__:
                before(kind, error, traceback)

        sys.excepthook = hook

        def unhook() -> None:
            if sys.excepthook is hook:
                sys.excepthook = before

        self._undo.append(unhook)

    def _hook_threads(self) -> None:
        before = threading.excepthook

        def hook(args: threading.ExceptHookArgs, /) -> None:
            error = args.exc_value
            if attached.present() is None or not isinstance(error, Exception):
                before(args)
                return
            name = args.thread.name if args.thread is not None else "?"
            _logger.error("Unhandled exception in thread %s", name, exc_info=error)
            if before is not threading.__excepthook__:
                before(args)

        threading.excepthook = hook

        def unhook() -> None:
            if threading.excepthook is hook:
                threading.excepthook = before

        self._undo.append(unhook)


@contextmanager
def on_loop(loop: asyncio.AbstractEventLoop, store: ErrorStore) -> Iterator[None]:
    """Capture what reaches the event loop's exception handler while inside; then go on as before."""
    before = loop.get_exception_handler()

    def handler(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception):
            task = context.get("task") or context.get("future")
            name = task.get_name() if isinstance(task, asyncio.Task) else ""
            store.capture(error, route=name)
        if before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handler)
    try:
        yield
    finally:
        if loop.get_exception_handler() is handler:
            loop.set_exception_handler(before)


#: The hooks of this process.
hooks: Final = Hooks()
