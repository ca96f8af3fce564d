"""Reading requests as Prometheus does: parameters from the address and from a form, times, durations, selectors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from urllib.parse import parse_qs

from starlette.requests import Request

from bedplate.declarations import seconds
from bedplate.monitor.prometheus_api.answers import ApiError
from bedplate.problems import BedplateError, DeclarationError
from bedplate.promql import Matcher, parse
from bedplate.promql.nodes import Parens, Selector

__all__ = ["Form", "form_of"]

#: Bytes that a form may have.
_LONGEST = 1 << 20

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)
_INTEGER = re.compile(r"\d{1,9}\Z")

Choice = tuple[str, tuple[Matcher, ...]]


class Form:
    """The parameters of one request."""

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """Return a parameter, empty when it is not there; of several the first."""
        return next(iter(self._values.get(name, ())), "")

    def texts(self, name: str) -> Sequence[str]:
        """Return a parameter that may be given several times."""
        return self._values.get(name, ())

    def time(self, name: str, default: float | None = None) -> float:
        """Return a time as Unix seconds, from such or from RFC 3339.

        :raises ApiError: when it is none, or is missing and there is no default.
        """
        text = self.text(name)
        if not text and default is not None:
            return default
        try:
            moment = float(text)
            if math.isfinite(moment) and abs(moment) < 1e11:
                return moment
        except ValueError:
            with suppress(ValueError, OverflowError):
                if _RFC_3339.match(text):
                    return datetime.fromisoformat(text).timestamp()
        raise ApiError("bad_data", f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp')

    def duration(self, name: str) -> float | None:
        """Return a duration in seconds, from such or from Prometheus' notation; None when it is not there.

        :raises ApiError: when it is none.
        """
        text = self.text(name)
        if not text:
            return None
        try:
            length = float(text)
        except ValueError:
            length = _duration(text)
        if not math.isfinite(length) or length > 1e10:
            raise ApiError("bad_data", f'invalid parameter "{name}": cannot parse "{text}" to a valid duration')
        return length

    def limit(self, name: str = "limit") -> int:
        """Return a limit, 0 for none. :raises ApiError: when it is no number."""
        text = self.text(name)
        if text and not _INTEGER.match(text):
            raise ApiError("bad_data", f'invalid parameter "{name}": {name} must be a number')
        return int(text or 0)

    def choices(self, name: str = "match[]") -> list[Choice]:
        """Return the selectors of a parameter: metric names and conditions. :raises ApiError: when one is none."""
        return [_selector(name, text) for text in self.texts(name)]


def _duration(text: str) -> float:
    weeks = re.fullmatch(r"(?:(\d+)y)?(?:(\d+)w)?(.*)", text)
    assert weeks is not None
    years, count, rest = weeks.groups()
    try:
        length = seconds(rest) if rest else 0.0
    except DeclarationError:
        return math.nan
    return length + 365 * 86_400 * int(years or 0) + 7 * 86_400 * int(count or 0)


def _selector(name: str, text: str) -> Choice:
    try:
        node = parse(text)
    except BedplateError as error:
        raise ApiError("bad_data", f'invalid parameter "{name}": {error.what}') from None
    while isinstance(node, Parens):
        node = node.operand
    if not isinstance(node, Selector):
        raise ApiError("bad_data", f'invalid parameter "{name}": {text} is no selector of series')
    return node.name, tuple(node.matchers)


async def form_of(request: Request) -> Form:
    """Return the parameters of a request: those of a posted form first, then those of its address.

    :raises ApiError: when the form is too long.
    """
    values: dict[str, list[str]] = {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and media_type == "application/x-www-form-urlencoded":
        sent = bytearray()
        async for chunk in request.stream():
            sent += chunk
            if len(sent) > _LONGEST:
                raise ApiError("bad_data", f"the form is longer than {_LONGEST} bytes")
        for name, found in parse_qs(bytes(sent).decode("utf-8", "replace"), keep_blank_values=True).items():
            values.setdefault(name, []).extend(found)
    for name, value in request.query_params.multi_items():
        values.setdefault(name, []).append(value)
    return Form(values)
