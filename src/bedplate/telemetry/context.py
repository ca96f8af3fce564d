"""The context of the work at hand: which request or job, which trace, which user.

One :class:`WorkContext` lives in one context variable. The HTTP middleware sets it for a request, a worker sets it
for a job; log records, spans, exemplars and errors read it. Nothing else carries identity between the layers.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

__all__ = ["WorkContext", "bind_context", "current"]


class WorkContext:
    """Identity of one request or job; mutable, because the user is known later than the request.

    :ivar request_id: what the client is told in ``X-Request-ID``.
    :ivar trace_id: 32 lower-case hex digits. :ivar span_id: 16 hex digits, the root span of this process.
    :ivar parent_id: the caller's span from ``traceparent``, or an empty string.
    :ivar sampled: whether the trace is recorded in full and exported.
    :ivar fields: what log records add (``user_id``, ``command`` …); None until something is bound.
    :ivar notes: spans noted so far, as tuples that only the trace recorder reads; None until one is noted.
    :ivar tracestate: the caller's ``tracestate``, passed on as it came.
    :ivar recorder: the trace recorder of the service that does this work; None means the process's only one.
    :ivar positions: how far each database must be read, by who keeps it; None until something is written.
    :ivar keep: set when the trace is worth keeping whatever the outcome, because an operation in it was slow.
    """

    __slots__ = (
        "fields",
        "keep",
        "notes",
        "parent_id",
        "positions",
        "recorder",
        "request_id",
        "sampled",
        "span_id",
        "trace_id",
        "tracestate",
    )

    def __init__(
        self, request_id: str, trace_id: str, span_id: str, parent_id: str = "", sampled: bool = False
    ) -> None:
        self.request_id = request_id
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.sampled = sampled
        self.fields: dict[str, Any] | None = None
        self.notes: list[tuple[Any, ...]] | None = None
        self.tracestate = ""
        self.positions: dict[Any, int] | None = None
        self.recorder: Any = None
        self.keep = False


#: The work at hand, None outside any request or job.
current: ContextVar[WorkContext | None] = ContextVar("bedplate_work", default=None)


def bind_context(**fields: Any) -> None:
    """Add fields to every log record, error and root span of the work at hand; a no-op outside of any.

    ``user_id`` is the one that the log format always carries; any other JSON-able field may be bound.
    """
    context = current.get()
    if context is None:
        return
    if context.fields is None:
        context.fields = fields
    else:
        context.fields.update(fields)
