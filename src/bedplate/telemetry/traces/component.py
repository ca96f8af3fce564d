"""Traces as a component."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from opentelemetry import trace

from bedplate.component import Environment, Host, Spec
from bedplate.declarations import Alert, Panel, Runbook, Series
from bedplate.problems import Refusal, RefusedError
from bedplate.telemetry.redaction import Redactor
from bedplate.telemetry.traces.metrics import DROPPED, EXPORT_FAILURES, EXPORTED, KEPT, METRICS, SLOW
from bedplate.telemetry.traces.notes import ambient
from bedplate.telemetry.traces.recorder import TraceRecorder
from bedplate.telemetry.traces.settings import TraceSettings
from bedplate.telemetry.traces.store import TraceStore

if TYPE_CHECKING:
    from bedplate.telemetry.traces.export import Export
    from bedplate.telemetry.traces.follow import Feed

__all__ = ["Traces"]

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))


class _TelemetryApp(Protocol):
    """What is needed of a FastAPI app: the configuration of its own telemetry, read at every request."""

    _telemetry: dict[str, Any]


class Traces:
    """Records what requests and jobs did, keeps what is worth it, and exports it when asked to.

    :param redactor: takes secrets out of attributes and messages; by default one of its own.
    :ivar recorder: what the HTTP middleware and jobs hand their finished work to.
    :ivar store: what the management API reads.
    """

    def __init__(self, settings: TraceSettings | None = None, *, redactor: Redactor | None = None) -> None:
        self.settings = settings or TraceSettings()
        self.store = TraceStore(self.settings.max_traces, self.settings.max_bytes)
        self.recorder = TraceRecorder(self.settings, self.store, redactor)
        self._app: Any = None
        self._feeds: WeakKeyDictionary[Any, Feed] = WeakKeyDictionary()

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="traces",
            summary="Keeps the traces of requests and jobs that failed, were slow or are sampled, and exports them.",
            settings=self.settings,
            metrics=METRICS,
            alerts=(
                Alert(
                    name="TracesNotExported",
                    expr=f"sum(rate({EXPORT_FAILURES}[5m])) > 0",
                    for_="10m",
                    summary="Spans do not reach the collector; traces in the tracing backend have holes.",
                    fires=(Series(f"{EXPORT_FAILURES(cause='collector')}", "0+1x30"),),
                    quiet=(Series(f"{EXPORT_FAILURES(cause='collector')}", "3x30"),),
                ),
            ),
            panels=(
                Panel(title="Traces kept, by reason", expr=f"sum by (reason) (rate({KEPT}[5m]))", unit="traces/s"),
                Panel(
                    title="Slow operations",
                    expr=f"topk(10, sum by (operation) (rate({SLOW}[5m])))",
                    unit="operations/s",
                    summary="Traced operations that took longer than their threshold.",
                ),
                Panel(
                    title="Spans exported, failed exports, dropped spans",
                    expr=(
                        ("exported", f"sum(rate({EXPORTED}[5m]))"),
                        ("failed exports", f"sum(rate({EXPORT_FAILURES}[5m]))"),
                        ("dropped", f"sum(rate({DROPPED}[5m]))"),
                    ),
                    unit="1/s",
                ),
            ),
            runbook=_RUNBOOK,
        )

    def instrument(self, app: Any) -> None:
        """Have FastAPI's own telemetry report to this service's provider, while it runs.

        Its operation spans are as the settings say (off by default, for they are dear); a provider given to
        ``FastAPI(telemetry=…)`` stays. Any other ASGI app is left alone: its root spans are ours.
        """
        self._app = app if isinstance(getattr(app, "_telemetry", None), dict) else None

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Return why it may not start: an export that is asked for and impossible."""
        return list(self._refusals())

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Record from now on; at the end, flush what is still to be exported."""
        if refusals := list(self._refusals()):
            raise RefusedError(self.spec.label, refusals)
        self.recorder.start(host)
        outer = ambient.get()
        ambient.set(self.recorder)
        export: Export | None = None
        try:
            export = self._start_export(host)
            with self._instrumented(export):
                yield
        finally:
            ambient.set(outer)
            self.recorder.otel = self.recorder.export = None
            try:
                if export is not None:
                    await export.stop()
            finally:
                self.recorder.stop()

    def _refusals(self) -> Iterator[Refusal]:
        if self.settings.otlp_endpoint is not None and not _installed():
            yield Refusal(
                self.spec.label,
                "an OTLP endpoint is set, but OpenTelemetry's SDK and its exporter are not installed.",
                "Run: pip install 'bedplate[otlp]', or unset OTEL_EXPORTER_OTLP_ENDPOINT.",
            )

    def _start_export(self, host: Host) -> Export | None:
        given = self._given_provider()
        if given is None and self.settings.otlp_endpoint is None:
            return None
        from bedplate.telemetry.traces.export import Export, Gauges
        from bedplate.telemetry.traces.follow import Feed

        loop = asyncio.get_running_loop()

        def state(reason: str | None) -> None:
            # Called by the exporting thread, perhaps after the loop has closed.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(host.degraded, reason)

        feed = self._feeds.get(given) if given is not None else None
        known = feed is not None
        if feed is None:
            feed = Feed(self.recorder)
            if given is not None:
                self._feeds[given] = feed
        gauges = Gauges(
            exported=host.bind(EXPORTED),
            refused=host.bind(EXPORT_FAILURES, cause="collector"),
            overflow=host.bind(EXPORT_FAILURES, cause="queue"),
            state=state,
        )
        export = Export(self.recorder, self.settings, gauges, feed, given, feed_is_in=known)
        export.start()
        self.recorder.otel, self.recorder.export = export.bridge, export
        return export

    def _given_provider(self) -> Any:
        """Return the SDK's provider that the user has set, for the app or globally; None when there is none."""
        if not _installed():
            return None
        from opentelemetry.sdk.trace import TracerProvider

        of_app = self._app._telemetry.get("tracer_provider") if self._app is not None else None
        for provider in (of_app, trace.get_tracer_provider()):
            if isinstance(provider, TracerProvider):
                return provider
        return None

    @contextmanager
    def _instrumented(self, export: Export | None) -> Iterator[None]:
        app: _TelemetryApp | None = self._app
        if app is None or export is None:
            yield
            return
        before = dict(app._telemetry)
        ours: dict[str, Any] = {"operation_spans": self.settings.operation_spans}
        if before.get("tracer_provider") is None:
            # FastAPI would add an exporter of its own to the provider that it finds.
            ours |= {"tracer_provider": export.provider, "auto_configure": False}
        app._telemetry.update(ours)
        try:
            yield
        finally:
            for name in ours:
                app._telemetry[name] = before.get(name)


def _installed() -> bool:
    try:
        return all(
            find_spec(name) is not None
            for name in ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
        )
    except ModuleNotFoundError:
        return False
