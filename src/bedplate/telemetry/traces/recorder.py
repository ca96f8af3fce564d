"""What becomes of notes: nothing, in most requests; a trace, when the request failed, was slow or is sampled."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bedplate.metric import OTHER
from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.redaction import Redactor
from bedplate.telemetry.traces.metrics import DROPPED, KEPT, SLOW, SLOW_OPERATIONS_LIMIT
from bedplate.telemetry.traces.notes import Entry, LateNotes, Notes, register, unix_offset, unregister
from bedplate.telemetry.traces.settings import TraceSettings
from bedplate.telemetry.traces.store import Reason, TraceStore
from bedplate.telemetry.traces.work import Work, start_work

if TYPE_CHECKING:
    from bedplate.component import BoundCounter, Host, Logger
    from bedplate.telemetry.traces.export import Export
    from bedplate.telemetry.traces.otel import OtelBridge

__all__ = ["TraceRecorder"]

#: Seconds between two log records of one slow operation; what happens meanwhile is counted.
_QUIET = 1.0
#: Characters of a message or path that are kept.
_MESSAGE = 500


class TraceRecorder:
    """Turns the notes of finished work into traces, and keeps them.

    The middleware reads :attr:`slow_threshold`, decides with :meth:`sample`, puts the recorder into
    ``WorkContext.recorder`` and calls :meth:`finish_request`; jobs go through :meth:`start_work`.

    :ivar otel: opens real OpenTelemetry spans in sampled traces; None while none are exported.
    :ivar running: whether its component runs.
    """

    def __init__(self, settings: TraceSettings, store: TraceStore, redactor: Redactor | None = None) -> None:
        self.settings = settings
        self.store = store
        self.service = settings.service_name
        self.slow_threshold = settings.slow_threshold
        self.slow_ns = settings.slow_threshold * 1e9
        self.max_spans = settings.max_spans
        self.otel: OtelBridge | None = None
        self.export: Export | None = None
        self.running = False
        # As OpenTelemetry's TraceIdRatioBased does, so that services with one ratio sample the same traces;
        # hexadecimal digits sort like the numbers they write, and "g" is above them all.
        self._bound = "g" if settings.sample_ratio >= 1 else f"{int(settings.sample_ratio * 2**64):016x}"
        self._redactor = redactor or Redactor()
        self._host: Host | None = None
        self._logger: Logger | None = None
        self._kept: dict[str, BoundCounter] = {}
        self._dropped: BoundCounter | None = None
        self._slow: dict[str, BoundCounter] = {}
        self._logged: dict[str, tuple[float, int]] = {}

    def start(self, host: Host) -> None:
        """Count and log as a part of this service from now on."""
        self.service = self.settings.service_name or host.service
        self._host = host
        self._logger = host.log
        self._kept = {reason: host.bind(KEPT, reason=reason) for reason in ("error", "slow", "sampled")}
        self._dropped = host.bind(DROPPED)
        self._slow = {}
        self.running = True
        register(self)

    def stop(self) -> None:
        """Undo :meth:`start`; what is kept stays."""
        self.running = False
        unregister(self)
        self._host = self._logger = self._dropped = None
        self._kept = {}

    def sample(self, trace_id: str, parent_sampled: bool | None = None) -> bool:
        """Decide whether a trace is recorded in full: as the caller did, else by the id and the ratio."""
        return trace_id[16:] < self._bound if parent_sampled is None else parent_sampled

    def start_work(self, headers: Mapping[str, Any] | None = None, **options: Any) -> Work:
        """Return :func:`~bedplate.telemetry.traces.work.start_work` for this recorder."""
        return start_work(headers, recorder=self, **options)

    def finish_request(
        self,
        context: WorkContext,
        *,
        method: str,
        route: str,
        path: str,
        status: int,
        started_ns: int,
        duration_s: float,
        error: BaseException | None,
    ) -> Reason | None:
        """Keep the trace of a request that failed (an error, or a status from 500), was slow, or is sampled.

        :param started_ns: Unix time in nanoseconds. :param duration_s: seconds.
        :param route: the route template, empty when nothing matched: the path is not a name.
        :returns: why it was kept, None when it was not.
        """
        attributes = {"http.request.method": method, "url.path": path, "http.response.status_code": status}
        if route:
            attributes["http.route"] = route
        return self._finish(
            context,
            {"name": f"{method} {route}".rstrip(), "kind": "server", "method": method, "route": route, "path": path,
             "status": status},
            attributes,
            failed=error is not None or status >= 500,
            started_ns=started_ns,
            duration_s=duration_s,
            error=error,
        )  # fmt: skip

    def finish_root(
        self,
        context: WorkContext,
        *,
        name: str,
        kind: str,
        started_ns: int,
        duration_s: float,
        error: BaseException | None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Reason | None:
        """Keep the trace of a job or task that failed, was slow, or is sampled; see :meth:`finish_request`."""
        return self._finish(
            context,
            {"name": name, "kind": kind},
            attributes or {},
            failed=error is not None,
            started_ns=started_ns,
            duration_s=duration_s,
            error=error,
        )

    def slow_operation(self, work: WorkContext, entry: Entry) -> None:
        """Count and log a ``@traced`` operation that took too long, and keep what is known of its trace."""
        work.keep = True
        duration = (entry.ended - entry.started) / 1e9
        cell = self._slow.get(entry.name)
        if cell is None and self._host is not None:
            known = entry.name if len(self._slow) < SLOW_OPERATIONS_LIMIT else OTHER
            cell = self._slow[known] = self._host.bind(SLOW, operation=known)
        if cell is not None:
            cell.inc()
        self._log_slow(work, entry.name, duration)
        if work.sampled:
            return
        # The request will add the rest when it ends. If it has ended already, fast and forgotten, this is all.
        notes = [Entry(*noted) for noted in work.notes or ()]
        head = {"name": entry.name, "kind": "internal", "unfinished": True, "error": _error(entry.error)}
        spans = self._spans(work, notes if entry in notes else [*notes, entry])
        started = time.time_ns() - (time.perf_counter_ns() - entry.started)
        self._keep(work, head, "slow", started, duration, spans, 0, count=False)

    def late(self, work: WorkContext, entry: Entry, part: int) -> None:
        """Add a span that ended after its work."""
        reason: Reason = "sampled" if work.sampled else "slow"
        duration = (entry.ended - entry.started) / 1e9
        head = {"name": entry.name, "kind": "internal", "error": _error(entry.error)}
        started = time.time_ns() - (time.perf_counter_ns() - entry.started)
        self._keep(work, head, reason, started, duration, self._spans(work, [entry]), part, count=False)

    def dropped(self, spans: int) -> None:
        """Count spans that were not kept because their work had too many."""
        if self._dropped is not None and spans:
            self._dropped.inc(spans)

    def _finish(
        self,
        context: WorkContext,
        head: dict[str, Any],
        attributes: Mapping[str, Any],
        *,
        failed: bool,
        started_ns: int,
        duration_s: float,
        error: BaseException | None,
    ) -> Reason | None:
        reason: Reason
        if failed:
            reason = "error"
        elif duration_s >= self.slow_threshold or context.keep:
            reason = "slow"
        elif context.sampled:
            reason = "sampled"
        else:
            return None
        notes = context.notes if isinstance(context.notes, Notes) else Notes()
        context.notes = LateNotes(self, context, self.max_spans, self.slow_ns)
        spans = self._spans(context, [Entry(*noted) for noted in notes])
        set_on_root = {} if notes.root is None else dict(notes.root.attributes or {})
        root = {
            "id": context.span_id,
            "parent": context.parent_id,
            "name": head["name"],
            "kind": head["kind"],
            "started_ns": started_ns,
            "ended_ns": started_ns + int(duration_s * 1e9),
            "error": None if error is None else type(error).__qualname__,
            "attributes": self._redactor.mapping({**set_on_root, **attributes, **(context.fields or {})}),
        }
        head["error"] = None if error is None else _error(type(error).__qualname__, self._message(error))
        if "path" in head:
            head["path"] = self._redactor.text(head["path"], _MESSAGE)
        head["fields"] = self._redactor.mapping(context.fields or {})
        self.dropped(notes.dropped)
        self._keep(context, head, reason, started_ns, duration_s, [root, *spans], 0, dropped=notes.dropped)
        if self.export is not None:
            self.export.finished(context, reason, [root, *spans], has_root=notes.root_claimed)
        return reason

    def _keep(
        self,
        work: WorkContext,
        head: Mapping[str, Any],
        reason: Reason,
        started_ns: int,
        duration_s: float,
        spans: list[dict[str, Any]],
        part: int,
        *,
        dropped: int = 0,
        count: bool = True,
    ) -> None:
        record = {
            "trace_id": work.trace_id,
            "span_id": work.span_id,
            "parent_id": work.parent_id,
            "part": part,
            "request_id": work.request_id,
            "service": self.service,
            **head,
            "reason": reason,
            "started": started_ns / 1e9,
            "duration": duration_s,
            "dropped": dropped,
            "spans": spans,
        }
        self.dropped(self.store.add(record))
        if count and reason in self._kept:
            self._kept[reason].inc()

    def _spans(self, work: WorkContext, entries: Iterable[Entry]) -> list[dict[str, Any]]:
        """Return noted spans as plain dicts, their times turned from the monotonic clock's to Unix time."""
        entries = list(entries)
        offset = unix_offset() if entries else 0
        return [
            {
                "id": f"{entry.span_id:016x}",
                "parent": f"{entry.parent:016x}" if entry.parent else work.span_id,
                "name": entry.name,
                "kind": "internal",
                "started_ns": entry.started + offset,
                "ended_ns": entry.ended + offset,
                "error": entry.error,
                "attributes": self._redactor.mapping(entry.attributes) if entry.attributes else {},
            }
            for entry in entries
        ]

    def _message(self, error: BaseException) -> str:
        try:
            return self._redactor.text(str(error), _MESSAGE)
        except Exception:
            return ""

    def _log_slow(self, work: WorkContext, name: str, duration: float) -> None:
        now = time.monotonic()
        last, unsaid = self._logged.get(name, (-_QUIET, 0))
        if now - last < _QUIET:
            self._logged[name] = (last, unsaid + 1)
            return
        if len(self._logged) > SLOW_OPERATIONS_LIMIT:
            self._logged.clear()
        self._logged[name] = (now, 0)
        if self._logger is not None:
            more = {"unsaid": unsaid} if unsaid else {}
            self._logger.warning(
                "slow_operation", operation=name, duration=round(duration, 6), trace_id=work.trace_id, **more
            )


def _error(kind: str | None, message: str = "") -> dict[str, str] | None:
    return None if kind is None else {"type": kind, "message": message}
