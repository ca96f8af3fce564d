"""The Prometheus that knows the whole fleet, asked over its HTTP API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson

from bedplate.component import Sample, Vector
from bedplate.monitor.prometheus_api.settings import PrometheusSettings
from bedplate.monitor.prometheus_api.transport import Transport, TransportError
from bedplate.problems import BedplateError, UnreachableError
from bedplate.promql import Matrix, Series

__all__ = ["FleetAwayError", "FleetError", "Prometheus"]

#: Bytes of an answer that are parsed on the event loop; larger ones are in a thread.
_SMALL = 100_000


class FleetError(BedplateError):
    """Prometheus could not be asked about the fleet, or does not take the question."""


class FleetAwayError(FleetError, UnreachableError):
    """Prometheus could not be asked, whatever the question."""


class Prometheus:
    """Asks a Prometheus server, or what speaks its API: Thanos, Mimir, VictoriaMetrics.

    Once it could not be reached it is not asked again for a moment, so that a status page does not wait for it each
    time.

    :param settings: with an address.
    :param now: a monotonic time in seconds.
    """

    def __init__(self, settings: PrometheusSettings, *, now: Callable[[], float] = time.monotonic) -> None:
        if settings.url is None:
            raise BedplateError("There is no address of a Prometheus.", "Set PROMETHEUS_URL.")
        token = settings.token.reveal() if settings.token is not None else ""
        self._transport = Transport(settings.url, token, settings.timeout, settings.ca_file)
        self._retry = settings.retry
        self._now = now
        self._fault: str | None = None
        self._asked_at = 0.0

    @property
    def fault(self) -> str | None:
        """Why it could not be asked the last time; None when it could, or was not asked yet."""
        return self._fault

    async def vector(self, expr: str, at: float) -> Vector:
        """Return the value of an expression at a time in Unix seconds.

        :raises FleetError: when it cannot be asked, or does not take the expression.
        """
        return _vector(await self._ask("query", {"query": expr, "time": repr(at)}))

    async def range(self, expr: str, start: float, end: float, step: float) -> Matrix:
        """Return its values from ``start`` to ``end`` in Unix seconds, every ``step`` seconds.

        :raises FleetError: when it cannot be asked, or does not take the expression.
        """
        form = {"query": expr, "start": repr(start), "end": repr(end), "step": repr(step)}
        return _matrix(await self._ask("query_range", form))

    async def _ask(self, what: str, form: Mapping[str, str]) -> Any:
        if self._fault is not None and self._now() - self._asked_at < self._retry:
            raise self._away(self._fault)
        try:
            status, body = await self._transport.post(f"/api/v1/{what}", form)
            if status in (401, 403):
                raise TransportError(f"it does not let us in (HTTP {status})")
            document = await _parsed(body)
        except (TransportError, ValueError) as error:
            reason = str(error) if isinstance(error, TransportError) else "its answer is no JSON"
            raise self._failed(f"{self._transport.address}: {reason}") from error
        if not isinstance(document, dict) or document.get("status") not in ("success", "error"):
            raise self._failed(f"{self._transport.address}: it does not speak Prometheus' API (HTTP {status})")
        if document["status"] == "error" and document.get("errorType") in ("unavailable", "internal", "timeout"):
            raise self._failed(f"{self._transport.address}: {document.get('error')}")
        self._fault = None
        if document["status"] == "error":
            raise FleetError(f"Prometheus does not take the expression: {document.get('error')}", "Mend it.")
        return document["data"]

    def _failed(self, fault: str) -> FleetAwayError:
        self._fault, self._asked_at = fault, self._now()
        return self._away(fault)

    @staticmethod
    def _away(fault: str) -> FleetAwayError:
        return FleetAwayError(
            f"Prometheus cannot be asked about the fleet: {fault}.",
            "See that it runs, and that PROMETHEUS_URL, its user or its token are right.",
        )


async def _parsed(body: bytes) -> Any:
    return orjson.loads(body) if len(body) < _SMALL else await asyncio.to_thread(orjson.loads, body)


def _vector(data: Mapping[str, Any]) -> Vector:
    kind, result = data["resultType"], data["result"]
    if kind == "scalar":
        return (Sample({}, float(result[1])),)
    if kind != "vector":
        raise FleetError(f"The expression is a {kind}, which has no value at one moment.", "Reduce it with a function.")
    # A native histogram has no value of one number.
    return tuple(Sample(one["metric"], float(one["value"][1])) for one in result if "value" in one)


def _matrix(data: Mapping[str, Any]) -> Matrix:
    found = []
    for one in data["result"]:
        values = one.get("values", ())
        times = np.array([float(at) for at, _ in values])
        found.append(Series(one["metric"], times, np.array([float(value) for _, value in values])))
    return tuple(found)
