"""Traces: where the time of a request or job went, kept when it failed, was slow or is sampled.

.. code-block:: python

    @traced("portfolio_calculation", slow=0.5)
    async def calculate(portfolio: Portfolio) -> Result:
        with span("price", currency=portfolio.currency) as s:
            prices = await fetch(portfolio.symbols)
            s.set(symbols=len(prices))
        return combine(portfolio, prices)
"""

from bedplate.telemetry.traces.component import Traces
from bedplate.telemetry.traces.notes import current_span
from bedplate.telemetry.traces.otel import unsampled_otel_context
from bedplate.telemetry.traces.propagation import inject, parse_traceparent, traced_client_hooks
from bedplate.telemetry.traces.recorder import TraceRecorder
from bedplate.telemetry.traces.settings import TraceSettings
from bedplate.telemetry.traces.spans import Span, span, traced
from bedplate.telemetry.traces.store import TraceStore
from bedplate.telemetry.traces.work import Work, start_work

__all__ = [
    "Span",
    "TraceRecorder",
    "TraceSettings",
    "TraceStore",
    "Traces",
    "Work",
    "current_span",
    "inject",
    "parse_traceparent",
    "span",
    "start_work",
    "traced",
    "traced_client_hooks",
    "unsampled_otel_context",
]
