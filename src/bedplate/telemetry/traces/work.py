"""Work without HTTP: a job, a task, a script. It continues the trace of whoever asked for it, or starts one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any

from uuid_utils import uuid7

from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.traces.notes import active, new_span_id, now, random_bits, running
from bedplate.telemetry.traces.otel import OtelContext
from bedplate.telemetry.traces.propagation import read_headers

if TYPE_CHECKING:
    from bedplate.telemetry.traces.recorder import TraceRecorder

__all__ = ["Work", "start_work"]


class Work(AbstractContextManager[WorkContext]):
    """One piece of work, the root of its spans in this process; ``with`` gives its context. Used once.

    :ivar attributes: what its root span is to say; may be added to until it ends.
    """

    __slots__ = ("_kind", "_name", "_otel", "_outer", "_slow_ns", "_started", "_started_ns", "attributes", "context")

    def __init__(
        self,
        context: WorkContext,
        name: str,
        kind: str = "job",
        attributes: Mapping[str, Any] | None = None,
        slow_ns: float | None = None,
    ) -> None:
        self.context = context
        self.attributes: dict[str, Any] = dict(attributes or {})
        self._name = name
        self._kind = kind
        self._slow_ns = slow_ns
        self._otel: OtelContext | None = None

    def open(self) -> None:
        """Start the clock."""
        self._started_ns = time_ns()
        self._started = now()

    def activate(self) -> None:
        """Make it the work at hand."""
        self._outer = (current.get(), active.get())
        current.set(self.context)
        active.set(None)
        recorder: TraceRecorder | None = self.context.recorder
        if recorder is not None and recorder.otel is not None:
            self._otel = OtelContext()
            self._otel.__enter__()

    def deactivate(self) -> None:
        """Undo :meth:`activate`."""
        if self._otel is not None:
            self._otel.__exit__(None, None, None)
            self._otel = None
        outer, span = self._outer
        current.set(outer)
        active.set(span)

    def close(self, error: BaseException | None = None) -> None:
        """Stop the clock, and keep the trace if it failed, was slow or is sampled."""
        recorder: TraceRecorder | None = self.context.recorder
        if recorder is None:
            return
        elapsed = now() - self._started
        if self._slow_ns is not None and elapsed >= self._slow_ns:
            self.context.keep = True
        # Whoever cancels work or closes a generator early does not report a failure of it.
        failure = error if isinstance(error, Exception) else None
        recorder.finish_root(
            self.context,
            name=self._name,
            kind=self._kind,
            started_ns=self._started_ns,
            duration_s=elapsed / 1e9,
            error=failure,
            attributes=self.attributes,
        )

    def __enter__(self) -> WorkContext:
        self.open()
        self.activate()
        return self.context

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Finished while it is the work at hand, so that what is logged on the way names it.
        try:
            self.close(error)
        finally:
            self.deactivate()


def start_work(
    headers: Mapping[str, Any] | None = None,
    *,
    name: str = "job",
    kind: str = "job",
    attributes: Mapping[str, Any] | None = None,
    slow_ns: float | None = None,
    recorder: TraceRecorder | None = None,
) -> Work:
    """Return a context manager that makes a new :class:`WorkContext` the work at hand and records it as a trace.

    :param headers: those of the message that asked for it; ``traceparent``, ``tracestate`` and ``x-request-id`` are
        read, in any case of letters. Invalid ones are ignored.
    :param name: what is done, a constant such as the job's name.
    :param kind: ``job``, ``task``, ``internal`` …
    :param recorder: whose trace it is; by default that of the service this code runs for. Without any, spans and
        logs still share the ids, and nothing is kept.
    """
    recorder = recorder if recorder is not None else running()
    parent, tracestate, request_id = read_headers(headers)
    trace_id = parent.trace_id if parent is not None else f"{random_bits(128) or 1:032x}"
    sampled = recorder is not None and recorder.sample(trace_id, None if parent is None else parent.sampled)
    context = WorkContext(
        request_id or uuid7().hex,
        trace_id,
        f"{new_span_id():016x}",
        parent.span_id if parent is not None else "",
        sampled,
    )
    context.tracestate = tracestate
    context.recorder = recorder
    return Work(context, name, kind, attributes, slow_ns)
