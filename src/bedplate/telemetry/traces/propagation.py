"""W3C Trace Context, level 1: a trace goes on across HTTP calls, messages and jobs.

Reading is strict where the specification is (version ``ff``, ids of zeros, upper-case hex and malformed fields are
refused) and lenient where it asks for it (a future version is read by the prefix that level 1 defines).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.traces.notes import active_span_id, recorder_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Parent", "clean_tracestate", "inject", "parse_traceparent", "read_headers", "traced_client_hooks"]

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
REQUEST_ID = "x-request-id"

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z", re.ASCII | re.DOTALL)
_MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]\Z"
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}\Z")
_TRACESTATE_MEMBERS = 32
_TRACESTATE_LENGTH = 512
_SAMPLED = 0x01


class Parent(NamedTuple):
    """The caller's span: 32 and 16 lower-case hex digits, and whether the caller records the trace."""

    trace_id: str
    span_id: str
    sampled: bool


def parse_traceparent(value: str) -> Parent | None:
    """Return the caller's span from a ``traceparent`` header, None when it is not valid and must be ignored."""
    match = _TRACEPARENT.match(value.strip(" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    if trace_id == "0" * 32 or span_id == "0" * 16:
        return None
    return Parent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def clean_tracestate(*values: str) -> str:
    """Return ``tracestate`` fit to be passed on, or an empty string when it is malformed or longer than 512 characters.

    Several header lines are joined, empty members are left out and duplicate keys make it invalid, as level 1 says.
    """
    members = [member for value in values for part in value.split(",") if (member := part.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    joined = ",".join(members)
    if len(members) > _TRACESTATE_MEMBERS or len(joined) > _TRACESTATE_LENGTH or len(keys) != len(members):
        return ""
    return joined if all(_MEMBER.match(member) for member in members) else ""


def format_traceparent(work: WorkContext, span_id: str) -> str:
    """Return the ``traceparent`` that makes ``span_id`` the parent of what is called."""
    return f"00-{work.trace_id}-{span_id}-{'01' if work.sampled else '00'}"


def inject(headers: MutableMapping[str, str], *, request_id: bool = True) -> None:
    """Add the work at hand to the headers of a call or a job, so that the other side continues the trace.

    Outside any work nothing is added; what the caller set is left alone.

    :param headers: any mutable mapping: a dict for Celery, the headers of an httpx2 request.
    :param request_id: whether to pass ``X-Request-ID`` on too.
    """
    work = current.get()
    if work is None or TRACEPARENT in headers:
        return
    recorder = recorder_of(work)
    otel = recorder.otel if recorder is not None and work.sampled else None
    span_id = otel.current_span_id(work) if otel is not None else ""
    headers[TRACEPARENT] = format_traceparent(work, span_id or active_span_id(work))
    if work.tracestate:
        headers[TRACESTATE] = work.tracestate
    if request_id and work.request_id and REQUEST_ID not in headers:
        headers[REQUEST_ID] = work.request_id


def read_headers(headers: Mapping[str, Any] | None) -> tuple[Parent | None, str, str]:
    """Return (parent, tracestate, request id) from the headers of a job; what is missing or invalid is empty.

    Names are compared without case, and values that are not strings are ignored: a broker may carry anything.
    """
    found: dict[str, str] = {}
    wanted = (TRACEPARENT, TRACESTATE, REQUEST_ID)
    items: Iterable[tuple[Any, Any]] = headers.items() if headers else ()
    for name, value in items:
        if isinstance(name, str) and isinstance(value, str) and (lower := name.lower()) in wanted:
            found[lower] = value
    parent = parse_traceparent(found.get(TRACEPARENT, ""))
    tracestate = clean_tracestate(found.get(TRACESTATE, "")) if parent is not None else ""
    request_id = found.get(REQUEST_ID, "")
    return parent, tracestate, request_id if _REQUEST_ID.match(request_id) else ""


class _Done:
    """An awaitable that is already done, so that one hook serves clients that await hooks and clients that do not."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_DONE = _Done()


def traced_client_hooks() -> dict[str, list[Callable[[Any], Any]]]:
    """Return ``event_hooks`` for an httpx2 ``Client`` or ``AsyncClient`` that continue the trace in what it calls."""

    def hook(request: Any) -> _Done:
        inject(request.headers)
        return _DONE

    return {"request": [hook], "response": []}
