"""The present values of what panels show, and how requests fare, each by PromQL."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Literal

from bedplate.component import ComponentView, Host, Vector
from bedplate.declarations import Panel
from bedplate.problems import BedplateError
from bedplate.telemetry.http.metrics import DURATION

__all__ = ["MOST_PANELS", "Figures", "top_panels"]

MOST_PANELS = 24
#: Values of one expression that are shown; the greatest.
_MOST_VALUES = 10
#: Seconds for which values are shown again to whoever asks next.
_FRESH = 2.0
#: Seconds beyond which a request is slow; a boundary of the histogram.
_SLOW = "1.0"

_FAILED = DURATION.count + '{http_response_status_code=~"5.."}'
_RATE = f"sum(rate({DURATION.count}[5m]))"
_FAST = DURATION.bucket + f'{{le="{_SLOW}"}}'
_REQUESTS = {
    "per_second": _RATE,
    "failed_ratio": f"(sum(rate({_FAILED}[5m])) or {_RATE} * 0) / {_RATE}",
    "p95_seconds": f"histogram_quantile(0.95, sum by (le) (rate({DURATION.bucket}[5m])))",
    "failed": f"sum(increase({_FAILED}[15m])) or sum(increase({DURATION.count}[15m])) * 0",
    "slow": f"sum(increase({DURATION.count}[15m])) - sum(increase({_FAST}[15m]))",
}


def top_panels(views: Sequence[ComponentView]) -> list[tuple[str, Panel]]:
    """Return the panels that say how things are in one number, with the labels of their components.

    A service's own components come first: they are why it runs.
    """
    found = [
        (view.spec.label, panel)
        for view in reversed(views)
        for panel in view.spec.panels
        if panel.kind in ("stat", "gauge")
    ]
    return found[:MOST_PANELS]


class Figures:
    """Evaluates what the page shows, at most every few seconds however many look at it.

    :param scope: ``fleet`` where Prometheus knows all instances, else ``host``.
    """

    def __init__(self, host: Host, scope: Literal["host", "fleet"]) -> None:
        self._host = host
        self._scope: Literal["host", "fleet"] = scope
        self._lock = asyncio.Lock()
        self._at = -math.inf
        self._found: tuple[dict[str, float | None], list[dict[str, Any]]] = ({}, [])

    async def read(self) -> tuple[dict[str, float | None], list[dict[str, Any]]]:
        """Return how requests fare, and the top panels with their values."""
        async with self._lock:
            now = self._host.clock.monotonic()
            if now - self._at >= _FRESH:
                requests = {name: _only(await self._ask(expr)) for name, expr in _REQUESTS.items()}
                panels = [await self._panel(label, panel) for label, panel in top_panels(self._host.components)]
                self._found, self._at = (requests, panels), now
            return self._found

    async def instances(self) -> dict[str, int] | None:
        """Return how many instances are up, and of how many; None where nobody knows."""
        found = await self._ask("up")
        if found is None or not found:
            return None
        return {"up": sum(sample.value == 1 for sample in found), "all": len(found)}

    async def _panel(self, label: str, panel: Panel) -> dict[str, Any]:
        pairs = [("", panel.expr)] if isinstance(panel.expr, str) else panel.expr
        values: list[dict[str, Any]] = []
        error = ""
        for legend, expr in pairs:
            found = await self._ask(expr)
            if found is None:
                error = "It cannot be evaluated at present."
                continue
            greatest = sorted(found, key=lambda sample: -sample.value if not math.isnan(sample.value) else math.inf)
            values += [
                {"legend": legend, "labels": dict(sample.labels), "value": sample.value}
                for sample in greatest[:_MOST_VALUES]
            ]
        document = {
            "title": panel.title,
            "component": label,
            "unit": panel.unit,
            "summary": panel.summary,
            "values": values,
        }
        return {**document, "error": error} if error else document

    async def _ask(self, expr: str) -> Vector | None:
        try:
            return await self._host.query(expr, scope=self._scope)
        except BedplateError:
            return None  # nobody can say; the page says the rest


def _only(vector: Vector | None) -> float | None:
    return vector[0].value if vector else None
