"""Exposition: Prometheus text 0.0.4, OpenMetrics 1.0 and JSON from the same samples.

Everything but the numbers is rendered once a layout; a scrape formats an array of floats in one call and joins.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from bedplate.telemetry.metrics.layout import Layout, Sample, lay_out
from bedplate.telemetry.metrics.merge import SLICE, Exemplar, Snapshot
from bedplate.telemetry.metrics.series import Family
from bedplate.telemetry.metrics.sources import Words

__all__ = ["OPENMETRICS_TYPE", "TEXT_TYPE", "Exposition"]

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

#: Samples formatted before the event loop gets its turn.
CHUNK = 4_000

#: Chunks joined at once: large copies of copies cost more than all the rest.
_JOINED = 4

_LABEL = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Exposition:
    """Renders snapshots; keeps the text around the numbers for as long as the layout stays the same.

    Several scrapes may be under way at once: each works with one layout, which does not change.
    """

    def __init__(self) -> None:
        self._layout: Layout | None = None

    async def layout(self, snapshot: Snapshot) -> Layout:
        """Return the layout of the snapshot's version."""
        layout = self._layout
        if layout is None or layout.version != snapshot.version:
            layout = self._layout = await lay_out(snapshot)
            await asyncio.sleep(0)
        return layout

    async def render(self, snapshot: Snapshot, *, openmetrics: bool) -> bytes:
        """Return the whole exposition as bytes."""
        layout = await self.layout(snapshot)
        prefixes = layout.prefixes.get(openmetrics)
        if prefixes is None:
            prefixes = layout.prefixes[openmetrics] = await _prefixes(layout, openmetrics)
        values = layout.values(snapshot.words)
        pieces: list[bytes] = []
        parts: list[bytes] = []
        for number, start in enumerate(range(0, len(prefixes), CHUNK), 1):
            numbers = _numbers(values[start : start + CHUNK])
            if openmetrics and snapshot.exemplars:
                _append_exemplars(numbers, layout.samples[start : start + CHUNK], snapshot.exemplars)
            chunk: list[bytes] = [b""] * (2 * len(numbers))
            chunk[::2] = prefixes[start : start + CHUNK]
            chunk[1::2] = numbers
            parts += chunk
            if start + CHUNK < len(prefixes):
                if number % _JOINED == 0:
                    pieces.append(b"".join(parts))
                    parts.clear()
                await asyncio.sleep(0)
        parts.append(b"\n" if prefixes else _silent(layout, openmetrics).encode())
        if openmetrics:
            parts.append(b"# EOF\n")
        return b"".join([*pieces, *parts])

    async def document(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return the families as plain data; what is not a number in JSON is None."""
        layout = await self.layout(snapshot)
        values = layout.values(snapshot.words).tolist()
        families: dict[str, dict[str, Any]] = {}
        for number, (sample, value) in enumerate(zip(layout.samples, values, strict=True), 1):
            family = families.get(sample.family.name)
            if family is None:
                f = sample.family
                family = {"name": f.name, "type": f.type, "help": f.help, "unit": f.unit, "samples": []}
                families[f.name] = family
            shown = value if math.isfinite(value) else None
            family["samples"].append({"name": sample.name, "labels": dict(sample.labels), "value": shown})
            if number % SLICE == 0:
                await asyncio.sleep(0)
        return {"families": list(families.values())}


def _numbers(values: Words) -> list[bytes]:
    numbers = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    if len(values) == 0:
        return []
    for position in np.flatnonzero(~np.isfinite(values)).tolist():
        numbers[position] = _number(values[position]).encode()
    return numbers


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _append_exemplars(numbers: list[bytes], samples: Sequence[Sample], exemplars: dict[int, Exemplar]) -> None:
    for position, sample in enumerate(samples):
        if sample.exemplar >= 0 and sample.exemplar in exemplars:
            trace, span, value, when = exemplars[sample.exemplar]
            labels = f'trace_id="{trace}",span_id="{span}"'
            numbers[position] += f" # {{{labels}}} {_number(value)} {when:.3f}".encode()


async def _prefixes(layout: Layout, openmetrics: bool) -> list[bytes]:
    prefixes: list[bytes] = []
    family: Family | None = None
    for number, sample in enumerate(layout.samples, 1):
        head = _silent(layout, openmetrics) if number == 1 else ""
        if sample.family is not family:
            family = sample.family
            head += _header(family, openmetrics)
        labels = ",".join(f'{name}="{str(value).translate(_LABEL)}"' for name, value in sample.labels)
        line = f"{sample.name}{{{labels}}} " if labels else f"{sample.name} "
        prefixes.append(f"{head}{line}".encode() if number == 1 else f"\n{head}{line}".encode())
        if number % SLICE == 0:
            await asyncio.sleep(0)
    return prefixes


def _silent(layout: Layout, openmetrics: bool) -> str:
    """Return what is said of families before their first event, so that whoever reads a scrape sees what can be."""
    return "".join(_header(family, openmetrics) for family in layout.silent)


def _header(family: Family, openmetrics: bool) -> str:
    name, kind = family.name, family.type
    if openmetrics:
        name = name.removesuffix("_total") if kind == "counter" else name
        help_text = family.help.translate(_LABEL)
        unit = f"# UNIT {name} {family.unit}\n" if family.unit and name.endswith(f"_{family.unit}") else ""
        return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n{unit}"
    kind = "untyped" if kind == "unknown" else kind
    return f"# HELP {name} {family.help.translate(_HELP)}\n# TYPE {name} {kind}\n"
