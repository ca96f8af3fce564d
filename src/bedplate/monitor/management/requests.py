"""Reading requests: query parameters by a model, bodies within a limit, the representation that is wanted."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from bedplate.monitor.replies import ProblemError, invalid
from bedplate.problems import Problem

__all__ = ["Page", "Query", "Since", "cursor_of", "json_body", "position_of", "preferred", "query_of"]

Q = TypeVar("Q", bound="Query")


def _aware(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo is not None else value.replace(tzinfo=UTC)


#: A point in time: ISO 8601 (UTC when it names no zone) or Unix seconds.
Since = Annotated[datetime | None, AfterValidator(_aware)]


class Query(BaseModel):
    """Query parameters; unknown ones are refused, so that a misspelt filter does not look like a match for all."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Page(Query):
    """Parameters of every list."""

    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str = ""


def query_of(request: Request, model: type[Q]) -> Q:
    """Return the query parameters as ``model``; :raises ProblemError: 422 with what is wrong."""
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in values:
            raise ProblemError(invalid([{"loc": (name,), "msg": "Given more than once"}]))
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ProblemError(invalid(error.errors(include_input=False, include_url=False))) from None


def cursor_of(*position: str | float) -> str:
    """Return an opaque cursor for the place after the item at ``position``."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).rstrip(b"=").decode()


def position_of(cursor: str) -> tuple[float, str] | None:
    """Return the time and id that a cursor stands for, None for none.

    :raises ProblemError: 400 when it is none of ours.
    """
    if not cursor:
        return None
    try:
        decoded = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        time, key = decoded
        return float(time), str(key)
    except (binascii.Error, ValueError, TypeError):
        detail = "The cursor is none that was given here; leave it out to start at the beginning."
        raise ProblemError(Problem(status=400, detail=detail)) from None


async def json_body(request: Request, limit: int) -> dict[str, object]:
    """Return the JSON object in a request's body; nothing at all is an empty one.

    :raises ProblemError: 413 when it is too large, 415 when it says to be something else, 400 when it is none.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise ProblemError(Problem(status=413, detail=f"The body may have {limit} bytes."))
    if not body.strip():
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise ProblemError(Problem(status=415, detail="Send JSON: Content-Type: application/json."))
    try:
        document = orjson.loads(bytes(body))
    except orjson.JSONDecodeError as error:
        raise ProblemError(Problem(status=400, detail=f"The body is not JSON: {error}.")) from None
    if not isinstance(document, dict):
        raise ProblemError(Problem(status=422, detail="The body is not a JSON object."))
    return document


def preferred(accept: str | None, offers: Sequence[str]) -> str:
    """Return the media type that a caller would rather have (RFC 9110, section 12.5.1).

    :param offers: what there is, the best first; it decides between equals, and when nothing is acceptable.
    """
    wanted: dict[str, float] = {}
    for part in (accept or "").split(","):
        media_type, *parameters = [word.strip().lower() for word in part.split(";")]
        if media_type:
            wanted[media_type] = max(wanted.get(media_type, 0.0), _quality(parameters))
    best, best_quality = offers[0], 0.0
    for offer in offers:
        ranges = (offer, offer.split("/")[0] + "/*", "*/*")
        quality = next((wanted[each] for each in ranges if each in wanted), 0.0)
        if quality > best_quality:
            best, best_quality = offer, quality
    return best


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
