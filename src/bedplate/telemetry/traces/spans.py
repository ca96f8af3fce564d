"""``@traced`` and ``span``: what a service writes to see where its time goes.

Both work anywhere. In a request or job they note a child of the innermost open span; outside of any they start a
trace of their own when a recorder runs, and cost next to nothing when none does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.traces.notes import (
    Entry,
    active,
    new_span_id,
    note,
    now,
    open_notes,
    random_bits,
    recorder_of,
    recorders,
    report_slow,
    running,
)

if TYPE_CHECKING:
    from bedplate.telemetry.traces.otel import OpenSpan
    from bedplate.telemetry.traces.work import Work

__all__ = ["Span", "span", "traced"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

NANOSECONDS = 1_000_000_000


class Span:
    """A span in the making; use :func:`span`. A context manager for ``with`` and ``async with``, used once.

    Variables are restored by value, not by token, so that a span may end in another context than it began in, as
    those of FastAPI's generator dependencies do.
    """

    __slots__ = (
        "_attributes",
        "_before",
        "_id",
        "_name",
        "_otel",
        "_outer",
        "_parent",
        "_root",
        "_slow_ns",
        "_started",
        "_work",
    )

    def __init__(self, name: str, slow_ns: float | None, attributes: Mapping[str, Any]) -> None:
        self._name = name
        self._slow_ns = slow_ns
        self._attributes = attributes
        self._work: WorkContext | None = None
        self._root: Work | None = None
        self._otel: OpenSpan | None = None
        self._outer: tuple[WorkContext, int] | None = None

    def set(self, **attributes: Any) -> None:
        """Add attributes; those of the same name are replaced."""
        self._attributes = {**self._attributes, **attributes}

    @property
    def recording(self) -> bool:
        """Whether anything will be noted; False outside any request, job and running recorder."""
        return self._work is not None or self._root is not None

    def open(self) -> None:
        """Start the clock, as a child of whatever is open here, or as a trace of its own."""
        work = current.get()
        if work is None:
            recorder = running()
            if recorder is not None:
                self._root = recorder.start_work(name=self._name, kind="internal", slow_ns=self._slow_ns)
                self._root.open()
            return
        self._work = work
        above = active.get()
        self._parent = above[1] if above is not None and above[0] is work else 0
        self._before = 0 if work.notes is None else len(work.notes)
        self._started = now()
        if work.sampled:
            recorder = recorder_of(work)
            if recorder is not None and recorder.otel is not None:
                self._otel = recorder.otel.start(self._name, work, self._parent)
                self._id = self._otel.span_id
                return
        self._id = new_span_id()

    def activate(self) -> None:
        """Make it the parent of what is opened from here on."""
        if self._root is not None:
            self._root.activate()
        elif self._work is not None:
            self._outer = active.get()
            active.set((self._work, self._id))
            if self._otel is not None:
                self._otel.activate()

    def deactivate(self) -> None:
        """Undo :meth:`activate`."""
        if self._root is not None:
            self._root.deactivate()
        elif self._work is not None:
            active.set(self._outer)
            if self._otel is not None:
                self._otel.deactivate()

    def close(self, error: BaseException | None = None) -> None:
        """Stop the clock and note the span."""
        if self._root is not None:
            self._root.attributes.update(self._attributes)
            self._root.close(error)
            return
        work = self._work
        if work is None:
            return
        ended = now()
        name = None if error is None else type(error).__qualname__
        entry = Entry(self._name, self._id, self._parent, self._started, ended, name, self._attributes)
        if self._otel is None:
            note(work, entry, self._before, self._slow_ns)
            return
        # OpenTelemetry's processor notes this span, like those of any library (sdk.py).
        self._otel.end(error, self._attributes)
        recorder = recorder_of(work)
        slow_ns = recorder.slow_ns if recorder is not None and self._slow_ns is None else self._slow_ns
        if slow_ns is not None and ended - self._started >= slow_ns:
            report_slow(work, entry)

    def __enter__(self) -> Self:
        self.open()
        self.activate()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.deactivate()
        self.close(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def span(name: str, *, slow: float | None = None, **attributes: Any) -> Span:
    """Return a span around a block: ``with span("price", symbol=symbol) as s: …; s.set(rows=n)``.

    :param name: what is done, a constant; what varies belongs into the attributes.
    :param slow: seconds from which it counts as a slow operation; None for the recorder's threshold.
    :param attributes: JSON-able values; secrets are redacted before they are kept.
    """
    return Span(name, None if slow is None else slow * NANOSECONDS, attributes)


@overload
def traced(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def traced(
    name: str | None = None, /, *, slow: float | None = None, **attributes: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def traced(
    name: Callable[..., Any] | str | None = None, /, *, slow: float | None = None, **attributes: Any
) -> Callable[..., Any]:
    """Trace every call of a function, coroutine function, generator or async generator.

    A generator's span lasts from the first item asked for to the last one given; while the consumer works, spans
    are not the generator's children. ``@traced`` alone takes the function's qualified name.

    :param name: the operation, ``portfolio_calculation``.
    :param slow: seconds from which a call counts as a slow operation; None for the recorder's threshold.
    :param attributes: JSON-able constants kept with every span.
    """
    if callable(name):
        bare: Callable[..., Any] = _decorate(name, _name_of(name), None, attributes)
        return bare
    slow_ns = None if slow is None else slow * NANOSECONDS
    return lambda function: _decorate(function, name or _name_of(function), slow_ns, attributes)


def _name_of(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__)).replace("<locals>.", "")


def _decorate(function: Any, name: str, slow_ns: float | None, attributes: Mapping[str, Any]) -> Any:
    if isinstance(function, staticmethod | classmethod):
        inner: Any = _decorate(function.__func__, name, slow_ns, attributes)
        return staticmethod(inner) if isinstance(function, staticmethod) else classmethod(inner)
    if iscoroutinefunction(function):
        return _coroutine(function, name, slow_ns, attributes)
    if isasyncgenfunction(function):
        return _async_generator(function, name, slow_ns, attributes)
    if isgeneratorfunction(function):
        return _generator(function, name, slow_ns, attributes)
    return _function(function, name, slow_ns, attributes)


# The next two are the hot paths: the common case, an unsampled request with room for notes, is written out (it is
# what `note` does) without an object or a call that it can do without. They differ only in `async` and `await`.


def _function(function: F, name: str, slow_ns: float | None, attributes: Mapping[str, Any]) -> F:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        work = current.get()
        if work is None or work.sampled:
            if work is None and not recorders:
                return function(*args, **kwargs)
            with Span(name, slow_ns, attributes):
                return function(*args, **kwargs)
        above = active.get()
        span_id = random_bits(64)
        active.set((work, span_id))
        notes = work.notes
        before = 0 if notes is None else len(notes)
        error: str | None = None
        started = now()
        try:
            return function(*args, **kwargs)
        except BaseException as failure:
            error = type(failure).__qualname__
            raise
        finally:
            ended = now()
            active.set(above)
            parent = above[1] if above is not None and above[0] is work else 0
            entry = (name, span_id, parent, started, ended, error, attributes)
            noted: Any = work.notes or open_notes(work)
            if len(noted) < noted.limit:
                noted.append(entry)
                if ended - started >= (noted.slow_ns if slow_ns is None else slow_ns):
                    report_slow(work, Entry(*entry))
            else:
                note(work, entry, before, slow_ns)

    return call  # type: ignore[return-value]


def _coroutine(function: F, name: str, slow_ns: float | None, attributes: Mapping[str, Any]) -> F:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        work = current.get()
        if work is None or work.sampled:
            if work is None and not recorders:
                return await function(*args, **kwargs)
            with Span(name, slow_ns, attributes):
                return await function(*args, **kwargs)
        above = active.get()
        span_id = random_bits(64)
        active.set((work, span_id))
        notes = work.notes
        before = 0 if notes is None else len(notes)
        error: str | None = None
        started = now()
        try:
            return await function(*args, **kwargs)
        except BaseException as failure:
            error = type(failure).__qualname__
            raise
        finally:
            ended = now()
            active.set(above)
            parent = above[1] if above is not None and above[0] is work else 0
            entry = (name, span_id, parent, started, ended, error, attributes)
            noted: Any = work.notes or open_notes(work)
            if len(noted) < noted.limit:
                noted.append(entry)
                if ended - started >= (noted.slow_ns if slow_ns is None else slow_ns):
                    report_slow(work, Entry(*entry))
            else:
                note(work, entry, before, slow_ns)

    return call  # type: ignore[return-value]


# A generator runs in slices, each perhaps in another context, so its span is made current for each slice only.
# `yield from` would hide the slices; hence PEP 380 by hand.


def _generator(function: Any, name: str, slow_ns: float | None, attributes: Mapping[str, Any]) -> Any:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span = Span(name, slow_ns, attributes)
        span.open()
        inner = function(*args, **kwargs)
        resume: Callable[[Any], Any] = inner.send
        argument: Any = None
        failure: BaseException | None = None
        try:
            while True:
                span.activate()
                try:
                    item = resume(argument)
                except StopIteration as stop:
                    return stop.value
                finally:
                    span.deactivate()
                try:
                    argument = yield item
                    resume = inner.send
                except GeneratorExit:
                    span.activate()
                    try:
                        inner.close()
                    finally:
                        span.deactivate()
                    raise
                except BaseException as thrown:
                    resume, argument = inner.throw, thrown
        except GeneratorExit:
            raise
        except BaseException as error:
            failure = error
            raise
        finally:
            span.close(failure)
            del failure, argument

    return call


def _async_generator(function: Any, name: str, slow_ns: float | None, attributes: Mapping[str, Any]) -> Any:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span = Span(name, slow_ns, attributes)
        span.open()
        inner = function(*args, **kwargs)
        resume: Callable[[Any], Any] = inner.asend
        argument: Any = None
        failure: BaseException | None = None
        try:
            while True:
                span.activate()
                try:
                    item = await resume(argument)
                except StopAsyncIteration:
                    return
                finally:
                    span.deactivate()
                try:
                    argument = yield item
                    resume = inner.asend
                except GeneratorExit:
                    span.activate()
                    try:
                        await inner.aclose()
                    finally:
                        span.deactivate()
                    raise
                except BaseException as thrown:
                    resume, argument = inner.athrow, thrown
        except GeneratorExit:
            raise
        except BaseException as error:
            failure = error
            raise
        finally:
            span.close(failure)
            del failure, argument

    return call
