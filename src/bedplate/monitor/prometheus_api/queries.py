"""``query`` and ``query_range``."""

from __future__ import annotations

import math

import orjson
from starlette.responses import Response

from bedplate.clock import Clock
from bedplate.monitor.prometheus_api.answers import ApiError, body, matrix_body, moment, number, success, vector_body
from bedplate.monitor.prometheus_api.parameters import Form
from bedplate.monitor.samples.evaluation import Evaluator, NoSamplesError, QueryTimeoutError
from bedplate.monitor.samples.ring import TooManySamplesError
from bedplate.problems import BedplateError
from bedplate.promql import EvaluationError, Query, UnsupportedError, compiled

__all__ = ["MOST_POINTS", "query", "query_range", "told"]

#: Points of one series that a range query may ask for; Prometheus' own limit.
MOST_POINTS = 11_000


async def query(form: Form, evaluator: Evaluator, clock: Clock) -> Response:
    """Answer the value of an expression at one moment."""
    at = form.time("time", clock.time())
    timeout = _timeout(form)
    expr = form.text("query")
    found = await evaluator.samples(_checked(expr), at)
    if found is not None:
        return body(await matrix_body(found))
    compiled_query = _compiled(expr)
    if compiled_query.type == "string":
        return success({"resultType": "string", "result": [moment(at), compiled_query.text]})
    vector = await evaluator.vector(expr, at, timeout=timeout)
    if compiled_query.type == "scalar":
        data = {"resultType": "scalar", "result": [moment(at), number(vector[0].value)]}
        return body(orjson.dumps(data))
    return body(await vector_body(vector, at))


async def query_range(form: Form, evaluator: Evaluator) -> Response:
    """Answer the values of an expression over time."""
    start, end = form.time("start"), form.time("end")
    if end < start:
        raise ApiError("bad_data", 'invalid parameter "end": end timestamp must not be before start time')
    step = form.duration("step")
    if step is None:
        raise ApiError("bad_data", 'invalid parameter "step": cannot parse "" to a valid duration')
    if step < 0.001:
        what = "zero or negative query resolution step widths are not accepted. Try a positive integer"
        raise ApiError("bad_data", f'invalid parameter "step": {what}')
    if math.floor((end - start) / step) > MOST_POINTS:
        what = "exceeded maximum resolution of 11,000 points per timeseries."
        raise ApiError("bad_data", f"{what} Try decreasing the query resolution (?step=XX)")
    timeout = _timeout(form)
    expr = form.text("query")
    if _compiled(_checked(expr)).type == "string":
        what = 'invalid expression type "string" for range query, must be Scalar or instant Vector'
        raise ApiError("bad_data", f'invalid parameter "query": {what}')
    # Prometheus allows one more point than it says.
    end = min(end, start + (MOST_POINTS - 1) * step) if (end - start) / step >= MOST_POINTS else end
    return body(await matrix_body(await evaluator.range(expr, start, end, step, timeout=timeout)))


def told(error: BedplateError) -> ApiError:
    """Return what Prometheus' API says of an error."""
    if isinstance(error, ApiError):
        return error
    text = f"{error.what} {error.mend}".strip()
    if isinstance(error, QueryTimeoutError):
        return ApiError("timeout", text)
    if isinstance(error, NoSamplesError):
        return ApiError("unavailable", text)
    if isinstance(error, TooManySamplesError | EvaluationError):
        return ApiError("execution", text)
    return ApiError("bad_data", f'invalid parameter "query": {text}')


def _checked(expr: str) -> str:
    if not expr.strip():
        raise ApiError(
            "bad_data", 'invalid parameter "query": unknown position: parse error: no expression found in input'
        )
    return expr


def _compiled(expr: str) -> Query:
    try:
        return compiled(expr)
    except UnsupportedError as error:
        raise ApiError("bad_data", f'invalid parameter "query": {error.what} {error.mend}'.strip()) from error


def _timeout(form: Form) -> float | None:
    timeout = form.duration("timeout")
    if timeout is not None and timeout <= 0:
        raise ApiError("bad_data", 'invalid parameter "timeout": it must be greater than 0')
    return timeout
