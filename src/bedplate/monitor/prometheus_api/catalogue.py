"""What there is to ask for: series, labels, their values, metadata."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from typing import Any

from starlette.responses import Response

from bedplate.monitor.prometheus_api.answers import ApiError, first, success
from bedplate.monitor.prometheus_api.parameters import Form
from bedplate.monitor.samples.component import Sampled
from bedplate.monitor.samples.evaluation import Evaluator
from bedplate.promql.source import Labels

__all__ = ["label_names", "label_values", "metadata", "series"]

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")

#: Series that are looked at before the event loop gets its turn.
_SLICE = 1000


async def series(form: Form, evaluator: Evaluator) -> Response:
    """Answer the label sets of the series that match."""
    if not form.texts("match[]"):
        raise ApiError("bad_data", "no match[] parameter provided")
    found = sorted(await _matching(form, evaluator))
    return success([dict(labels) for labels in first(found, form.limit())])


async def label_names(form: Form, evaluator: Evaluator) -> Response:
    """Answer the names of all labels, of the series that match if there are conditions."""
    names: set[str] = set()
    for number, labels in enumerate(await _matching(form, evaluator)):
        names.update(name for name, _ in labels)
        if number % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
    return success(first(sorted(names), form.limit()))


async def label_values(label: str, form: Form, evaluator: Evaluator) -> Response:
    """Answer the values of a label, of the series that match if there are conditions."""
    if not _LABEL.match(label):
        raise ApiError("bad_data", f'invalid label name: "{label[:200]}"')
    values: set[str] = set()
    for number, labels in enumerate(await _matching(form, evaluator)):
        values.update(value for name, value in labels if name == label)
        if number % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
    return success(first(sorted(values), form.limit()))


async def _matching(form: Form, evaluator: Evaluator) -> set[Labels]:
    start, end = form.time("start", 0.0), form.time("end", float(1 << 36))
    if end < start:
        return set()
    ring = evaluator.ring
    # Series are known by their end, as in Prometheus' head; that one began later than asked for is not looked up.
    if not form.texts("match[]"):
        return set(await ring.matching("", (), int(start * 1000)))
    found: set[Labels] = set()
    for name, matchers in form.choices():
        found.update(await ring.matching(name, matchers, int(start * 1000)))
    return found


async def metadata(form: Form, source: Sampled) -> Response:
    """Answer type, help and unit of every family that is exposed."""
    wanted, limit = form.text("metric"), form.limit()
    layout, _ = await source.samples()
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number, sample in enumerate(layout.samples):
        family = sample.family
        if family.name not in found and (not wanted or family.name == wanted):
            found[family.name].append({"type": family.type, "help": family.help, "unit": family.unit})
        if number % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
    return success(dict(first(found.items(), limit)))
