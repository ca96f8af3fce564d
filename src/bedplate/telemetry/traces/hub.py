"""One global tracer provider for several services of one process.

OpenTelemetry's global provider can be set once and never replaced, while services come and go (several of them in one
process, one after the other in tests). So what is set is this: it hands each span on to the provider of the service
whose work is at hand, and records nothing while none runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.trace import NoOpTracer, Tracer, TracerProvider

from bedplate.telemetry.context import WorkContext, current

if TYPE_CHECKING:
    from bedplate.telemetry.traces.export import Export

__all__ = ["HUB", "Hub"]


class Hub(TracerProvider):
    """A tracer provider that has none of its own."""

    def __init__(self) -> None:
        self._exports: list[Export] = []

    def join(self, export: Export) -> None:
        """Hand spans on to this service's provider; make ours the global one if there is none yet."""
        self._exports.append(export)
        if type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider":
            trace.set_tracer_provider(self)

    def leave(self, export: Export) -> None:
        """Undo :meth:`join`."""
        if export in self._exports:
            self._exports.remove(export)

    def choose(self) -> TracerProvider | None:
        """Return the provider of the service whose work is at hand, else of the one that started last."""
        work: WorkContext | None = current.get()
        export: Export | None = getattr(work.recorder, "export", None) if work is not None else None
        if export in self._exports and export is not None:
            return export.provider
        return self._exports[-1].provider if self._exports else None

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        """Return a tracer that decides span by span."""
        return _HubTracer(self, args, kwargs)


class _HubTracer(Tracer):
    def __init__(self, hub: Hub, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._hub = hub
        self._args = args
        self._kwargs = kwargs
        # Asking a provider for a tracer again and again is slow: it filters warnings each time.
        self._tracers: WeakKeyDictionary[TracerProvider, Tracer] = WeakKeyDictionary()

    def _tracer(self) -> Tracer:
        provider = self._hub.choose()
        if provider is None:
            return NoOpTracer()
        tracer = self._tracers.get(provider)
        if tracer is None:
            tracer = self._tracers[provider] = provider.get_tracer(*self._args, **self._kwargs)
        return tracer

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        return self._tracer().start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self._tracer().start_as_current_span(*args, **kwargs)


HUB = Hub()
