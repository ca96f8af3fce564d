"""What Prometheus' API answers: its JSON, to the letter, and its errors."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Literal

import orjson
from starlette.responses import Response

from bedplate.component import Vector
from bedplate.monitor.management.responses import no_store
from bedplate.problems import BedplateError
from bedplate.promql import Matrix

__all__ = [
    "ApiError",
    "ErrorType",
    "body",
    "failure",
    "first",
    "matrix_body",
    "moment",
    "number",
    "success",
    "vector_body",
]

ErrorType = Literal["bad_data", "execution", "timeout", "unavailable", "internal"]

_STATUS: dict[str, int] = {"bad_data": 400, "execution": 422, "timeout": 503, "unavailable": 503, "internal": 500}

#: Points that one answer may have, some 50 MB of JSON.
_MOST_POINTS = 2_000_000

#: Values that are written before the event loop gets its turn.
_SLICE = 2000


class ApiError(BedplateError):
    """A request that is answered as Prometheus would.

    :ivar kind: Prometheus' ``errorType``.
    """

    def __init__(self, kind: ErrorType, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Json(Response):
    media_type = "application/json"


def success(data: Any, warnings: Sequence[str] = ()) -> Response:
    """Return ``data`` as Prometheus does."""
    document = {"status": "success", "data": data, **({"warnings": list(warnings)} if warnings else {})}
    return _Json(orjson.dumps(document), headers=no_store)


def body(data: bytes) -> Response:
    """Return data that is JSON already."""
    return _Json(b'{"status":"success","data":' + data + b"}", headers=no_store)


def failure(kind: ErrorType, message: str) -> Response:
    """Return an error as Prometheus does."""
    document = {"status": "error", "errorType": kind, "error": message}
    return _Json(orjson.dumps(document), _STATUS[kind], headers=no_store)


def number(value: float) -> str:
    """Return a value as Prometheus writes it: the shortest text that means the same float."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    size = abs(value)
    if size < 1e15 and value == int(value) and (value or math.copysign(1.0, value) > 0):
        return str(int(value))
    text = repr(value)
    if "e" in text and (size == 0 or 1e-6 <= size < 1e21):
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def moment(at: float) -> float | int:
    """Return a time in Unix seconds as Prometheus writes it: to the millisecond, and whole where it is."""
    at = round(at, 3)
    return int(at) if at == int(at) else at


async def vector_body(vector: Vector, at: float) -> bytes:
    """Return an instant vector at a time in Unix seconds."""
    seconds = moment(at)
    parts: list[bytes] = []
    for start in range(0, len(vector), _SLICE):
        part = vector[start : start + _SLICE]
        found = [{"metric": sample.labels, "value": [seconds, number(sample.value)]} for sample in part]
        parts.append(orjson.dumps(found)[1:-1])
        await asyncio.sleep(0)
    return b'{"resultType":"vector","result":[' + b",".join(parts) + b"]}"


async def matrix_body(matrix: Matrix) -> bytes:
    """Return series over time.

    :raises ApiError: when they have too many points for one answer.
    """
    points = sum(len(one.times) for one in matrix)
    if points > _MOST_POINTS:
        raise ApiError("execution", f"the answer would have {points:,} points: ask for fewer series or a longer step")
    series: list[bytes] = []
    written = 0
    for one in matrix:
        parts: list[bytes] = []
        for start in range(0, len(one.times), _SLICE):
            times = one.times[start : start + _SLICE].tolist()
            values = one.values[start : start + _SLICE].tolist()
            pairs = [[moment(at), number(value)] for at, value in zip(times, values, strict=True)]
            parts.append(orjson.dumps(pairs)[1:-1])
            written += len(pairs)
            if written >= _SLICE:
                written = 0
                await asyncio.sleep(0)
        metric = orjson.dumps(one.labels)
        series.append(b'{"metric":' + metric + b',"values":[' + b",".join(parts) + b"]}")
    return b'{"resultType":"matrix","result":[' + b",".join(series) + b"]}"


def first(items: Iterable[Any], limit: int) -> list[Any]:
    """Return the first of some items, all of them when the limit is 0."""
    found = list(items)
    return found[:limit] if limit > 0 else found
