"""Traces kept in memory, bounded by count and by bytes, so that they are there when nobody has a tracing backend.

A trace is kept for one reason: it failed, it was slow, or it was sampled. Each reason has a quota of its own, so a
flood of sampled requests cannot push out the one that failed an hour ago. Within a quota the oldest goes first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import orjson

from bedplate.telemetry.traces.tree import assemble

__all__ = ["QUOTAS", "Reason", "TraceStore"]

Reason = Literal["error", "slow", "sampled"]

#: Share of the store that each reason may take, the gravest first.
QUOTAS: Mapping[Reason, float] = {"error": 0.4, "slow": 0.3, "sampled": 0.3}

_RANK = {reason: rank for rank, reason in enumerate(QUOTAS)}
#: What one record costs besides its text: its entry, keys and summary.
_OVERHEAD = 1024
#: The largest share of a quota that one record may take.
_LARGEST = 0.25


class _Trace:
    """One trace: the records of the services and processes that took part, as JSON."""

    __slots__ = ("reason", "records", "summaries")

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        self.records: dict[tuple[str, int], bytes] = {}
        self.summaries: dict[tuple[str, int], dict[str, Any]] = {}

    @property
    def size(self) -> int:
        return sum(len(record) + _OVERHEAD for record in self.records.values())

    def summary(self) -> dict[str, Any]:
        """Return what a list of traces shows: the outermost record, and what holds for all of them."""
        parts = sorted(self.summaries.values(), key=lambda part: (part["part"], part["started"]))
        first = next((part for part in parts if part["part"] == 0), parts[0])
        error = next((part["error"] for part in parts if part["error"]), None)
        services = list(dict.fromkeys(part["service"] for part in parts if part["service"]))
        return {
            **{key: value for key, value in first.items() if key not in ("part", "span_id", "parent_id")},
            "reason": self.reason,
            "error": error,
            "services": services,
            "spans": sum(part["spans"] for part in parts),
            "dropped": sum(part["dropped"] for part in parts),
        }


class TraceStore:
    """A bounded store of traces; thread-safe.

    A *record* is what one piece of work (a request, a job) adds to a trace: a plain JSON-able dict, made by
    :class:`~bedplate.telemetry.traces.recorder.TraceRecorder`. Several services, or processes, may add to one trace;
    a record with the same work and part replaces the earlier one.

    :param max_traces: traces kept. :param max_bytes: bytes kept, both shared out by :data:`QUOTAS`.
    """

    def __init__(self, max_traces: int = 1000, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._counts = {reason: max(1, int(max_traces * share)) for reason, share in QUOTAS.items()}
        self._bytes = {reason: int(max_bytes * share) for reason, share in QUOTAS.items()}
        self._sizes = dict.fromkeys(QUOTAS, 0)
        self._traces: dict[Reason, OrderedDict[str, _Trace]] = {reason: OrderedDict() for reason in QUOTAS}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return sum(len(traces) for traces in self._traces.values())

    @property
    def size(self) -> int:
        """Bytes that the kept traces take, about."""
        with self._lock:
            return sum(self._sizes.values())

    def add(self, record: Mapping[str, Any]) -> int:
        """Keep a record; return how many of its spans were cut because it is larger than one record may be."""
        reason: Reason = record["reason"]
        text, cut = _encode(record, int(self._bytes[reason] * _LARGEST))
        kept, dropped = len(record["spans"]) - cut, record.get("dropped", 0) + cut
        summary = {**record, "spans": kept, "dropped": dropped}
        key = (str(record["span_id"]), int(record["part"]))
        with self._lock:
            trace = self._take(record["trace_id"]) or _Trace(reason)
            if _RANK[reason] < _RANK[trace.reason]:
                trace.reason = reason
            trace.records[key] = text
            trace.summaries[key] = summary
            self._put(record["trace_id"], trace)
        return cut

    def extend(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Keep the records that another process has drained."""
        for record in records:
            self.add(record)

    def drain(self) -> list[dict[str, Any]]:
        """Remove and return every record, to be kept by another process."""
        with self._lock:
            texts = [
                text for traces in self._traces.values() for trace in traces.values() for text in trace.records.values()
            ]
            self._clear()
        return [orjson.loads(text) for text in texts]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._clear()

    def get(self, trace_id: str) -> dict[str, Any] | None:
        """Return a trace: its summary, and all its ``spans`` in the order of a waterfall (see :func:`assemble`)."""
        with self._lock:
            trace = self._find(trace_id)
            if trace is None:
                return None
            summary, texts = trace.summary(), list(trace.records.values())
        records = sorted((orjson.loads(text) for text in texts), key=lambda record: -record["part"])
        spans = assemble({"service": record["service"], **span} for record in records for span in record["spans"])
        for record in records:
            del record["spans"]
        duration = max((span["start"] + span["duration"] for span in spans), default=summary["duration"])
        return {**summary, "duration": duration, "records": records[::-1], "spans": spans}

    def search(
        self,
        *,
        route: str = "",
        name: str = "",
        status: int | str | None = None,
        min_duration: float = 0.0,
        reason: Reason | None = None,
        error: str | bool | None = None,
        service: str = "",
        text: str = "",
        since: float = 0.0,
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """Return summaries of the traces that match every filter given, the latest first.

        :param route: the route template. :param name: the name of the work, ``GET /orders/{id}``, or of a span in it.
        :param status: ``404``, or a class such as ``"5xx"``. :param min_duration: seconds.
        :param error: True for traces with one, False for those without, or text of its type or message.
        :param text: found anywhere in the trace, whatever the case: an id, a user, an attribute.
        :param since: Unix time. :param limit: traces returned at most.
        """
        with self._lock:
            traces = [
                (trace.summary(), list(trace.summaries.values()), list(trace.records.values()))
                for kept in self._traces.values()
                for trace in kept.values()
                if reason is None or trace.reason == reason
            ]
        traces.sort(key=lambda item: item[0]["started"], reverse=True)
        needle = text.casefold()
        found: list[dict[str, Any]] = []
        for summary, parts, texts in traces:
            if len(found) >= limit:
                break
            if (
                summary["started"] >= since
                and any(_matches(part, route, status, min_duration, service) for part in parts)
                and _has_error(summary["error"], error)
                and (not name or any(part["name"] == name for part in parts) or _has_span(texts, name))
                and (not needle or any(needle in record.decode().casefold() for record in texts))
            ):
                found.append(summary)
        return found

    def _find(self, trace_id: str) -> _Trace | None:
        return next((traces[trace_id] for traces in self._traces.values() if trace_id in traces), None)

    def _take(self, trace_id: str) -> _Trace | None:
        trace = self._find(trace_id)
        if trace is not None:
            del self._traces[trace.reason][trace_id]
            self._sizes[trace.reason] -= trace.size
        return trace

    def _put(self, trace_id: str, trace: _Trace) -> None:
        # A trace that grows without end, one record after the other, is cut from its oldest record on.
        while len(trace.records) > 1 and trace.size > self._bytes[trace.reason]:
            oldest = next(iter(trace.records))
            del trace.records[oldest], trace.summaries[oldest]
        traces = self._traces[trace.reason]
        traces[trace_id] = trace
        self._sizes[trace.reason] += trace.size
        while len(traces) > 1 and (
            len(traces) > self._counts[trace.reason] or self._sizes[trace.reason] > self._bytes[trace.reason]
        ):
            _, evicted = traces.popitem(last=False)
            self._sizes[trace.reason] -= evicted.size

    def _clear(self) -> None:
        for reason, traces in self._traces.items():
            traces.clear()
            self._sizes[reason] = 0


def _encode(record: Mapping[str, Any], largest: int) -> tuple[bytes, int]:
    """Return the record as JSON, and how many of its last spans had to go for it to fit."""
    text = orjson.dumps(record, default=str)
    spans = record["spans"]
    kept = len(spans)
    while len(text) > largest and kept > 1:
        kept //= 2
        dropped = record.get("dropped", 0) + len(spans) - kept
        text = orjson.dumps({**record, "spans": spans[:kept], "dropped": dropped}, default=str)
    return text, len(spans) - kept


def _matches(part: Mapping[str, Any], route: str, status: int | str | None, least: float, service: str) -> bool:
    if route and part.get("route") != route:
        return False
    if status is not None:
        code, wanted = str(part.get("status") or ""), str(status).lower()
        if wanted.endswith("xx"):
            if code[:1] != wanted[:1] or len(code) != 3:
                return False
        elif code != wanted:
            return False
    return bool(part["duration"] >= least and (not service or part["service"] == service))


def _has_error(error: Mapping[str, str] | None, wanted: str | bool | None) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, bool):
        return (error is not None) is wanted
    return error is not None and wanted.casefold() in f"{error['type']}: {error['message']}".casefold()


def _has_span(texts: Iterable[bytes], name: str) -> bool:
    needle = orjson.dumps(name)
    return any(needle in text and _names_span(text, name) for text in texts)


def _names_span(text: bytes, name: str) -> bool:
    return any(span["name"] == name for span in orjson.loads(text)["spans"])
