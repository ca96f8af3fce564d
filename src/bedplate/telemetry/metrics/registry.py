"""The registry of one service in one process: declared families and the children bound so far."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bedplate.metric import OTHER, Counter, Gauge, Histogram, Metric
from bedplate.problems import DeclarationError, UndeclaredMetricError
from bedplate.telemetry.metrics.cells import Writer
from bedplate.telemetry.metrics.exposition import Exposition
from bedplate.telemetry.metrics.instruments import instrument, words_of
from bedplate.telemetry.metrics.merge import Merger, Snapshot

__all__ = ["OVERFLOW", "Registry", "describe"]

OVERFLOW = Counter(
    "bedplate_metrics_label_overflow_total",
    "New label values that were counted under _other because their label's bound was reached.",
    {"metric": 500},
)


class Registry:
    """Metrics of one service: what is declared, what is bound, what is exposed.

    :param service: the service's name, for messages.
    :param directory: where the processes of the host share their cells; None keeps them in this process.
    """

    def __init__(self, service: str = "", directory: Path | None = None) -> None:
        self.service = service
        self.directory = directory
        self._families: dict[str, Metric] = {}
        self._samples: dict[str, str] = {}
        self._children: dict[tuple[Any, ...], Any] = {}
        self._values: dict[tuple[str, str], set[str]] = {}
        self._lock = threading.RLock()
        self._writer = Writer(directory)
        self._merger = Merger(self._writer)
        self._exposition = Exposition()
        self.declare([OVERFLOW])

    @property
    def families(self) -> dict[str, Metric]:
        """The declared families by name."""
        return dict(self._families)

    def declare(self, metrics: Iterable[Metric]) -> None:
        """Declare families; the same one may be declared by several components.

        Counters, histograms and summaries without labels start at 0, so that their first increase is seen.

        :raises DeclarationError: when a name is taken by a different family, or by one of another's sample names.
        """
        with self._lock:
            for metric in metrics:
                family = metric.family
                known = self._families.get(family.name)
                if known == family:
                    continue
                if known is not None:
                    raise DeclarationError(
                        f"Metric {family.name} is declared twice and differently.",
                        "Share one declaration, or give one of them another name.",
                    )
                for sample in family.sample_names:
                    owner = self._samples.setdefault(sample, family.name)
                    if owner != family.name:
                        raise DeclarationError(
                            f"Metric {family.name} would expose {sample}, which belongs to {owner}.", "Rename one."
                        )
                self._families[family.name] = family
                if not family.labels and not isinstance(family, Gauge):
                    self.bind(family)

    def bind(self, metric: Metric, /, **labels: str) -> Any:
        """Return the child for the labels, those that ``metric`` is narrowed to included.

        Values beyond a label's bound become ``_other`` and are counted in ``bedplate_metrics_label_overflow_total``.

        :raises UndeclaredMetricError: when the family is not declared here.
        :raises DeclarationError: when a label is missing or unknown.
        """
        key = (metric, *labels.items())
        try:
            return self._children[key]
        except KeyError:
            with self._lock:
                return self._bind(metric, labels, key)

    def _bind(self, metric: Metric, labels: dict[str, str], key: tuple[Any, ...]) -> Any:
        family = self._families.get(metric.name)
        if family is None or family != metric.family:
            raise UndeclaredMetricError(
                f"Metric {metric.name} is not declared in {self.service or 'this service'}.",
                "Add it to the metrics of the component's spec.",
            )
        given = {**dict(metric.fixed), **labels}
        if len(given) != len(family.labels) or any(name not in given for name in family.label_names):
            wanted = ", ".join(family.label_names) or "no labels"
            raise DeclarationError(f"{metric.name} needs {wanted}; got {', '.join(given) or 'none'}.", "Name them all.")
        values = tuple(self._bounded(family, label, str(given[label.name])) for label in family.labels)
        canonical = (family.name, values)
        child = self._children.get(canonical)
        if child is None:
            words = words_of(family)
            segment, offset = self._writer.allocate(describe(family), list(values), words)
            child = instrument(family, segment.words, segment.integers, offset)
            self._children[canonical] = child
        # A hostile value must not grow the table of short cuts either: only what was not folded into _other is kept.
        if OTHER not in values or OTHER in given.values():
            self._children[key] = child
        return child

    def _bounded(self, family: Metric, label: Any, value: str) -> str:
        if label.values is not None:
            if value in label.values or value == OTHER:
                return value
        else:
            seen = self._values.setdefault((family.name, label.name), set())
            if value in seen or value == OTHER:
                return value
            if len(seen) < label.limit:
                seen.add(value)
                return value
        if family.name != OVERFLOW.name:
            self.bind(OVERFLOW, metric=family.name).inc()
        return OTHER

    def external(self, family: dict[str, Any], sample: str, labels: list[tuple[str, str]]) -> Any:
        """Return a settable cell for a sample that another library keeps; ``family`` is name, type and help."""
        key = ("external", sample, *labels)
        child = self._children.get(key)
        if child is None:
            with self._lock:
                described = {**family, "labels": [], "raw": True}
                segment, offset = self._writer.allocate(described, [sample, *map(list, labels)], 1)
                child = self._children[key] = instrument(_EXTERNAL, segment.words, segment.integers, offset)
        return child

    async def snapshot(self) -> Snapshot:
        """Return the merged values of all processes of the host; cooperative, in slices under 5 ms."""
        return await self._merger.snapshot()

    async def render(self, openmetrics: bool = False) -> bytes:
        """Return the exposition: Prometheus text 0.0.4, or OpenMetrics 1.0 with exemplars."""
        return await self._exposition.render(await self.snapshot(), openmetrics=openmetrics)

    async def to_json(self) -> dict[str, Any]:
        """Return the families with their samples as plain data."""
        return await self._exposition.document(await self.snapshot())

    def close(self) -> None:
        """Release this process's cells; their counters live on in the tombstone."""
        self._writer.close()
        self._merger.close()


_EXTERNAL = Counter("external_total", "A sample that another library keeps.")


def describe(metric: Metric) -> dict[str, Any]:
    """Return what the index says of a family: all that a process without its declaration needs to merge it."""
    described: dict[str, Any] = {
        "name": metric.name,
        "type": metric.type,
        "help": metric.help,
        "unit": metric.unit,
        "labels": list(metric.label_names),
    }
    if isinstance(metric, Histogram):
        described |= {"buckets": list(metric.buckets), "exemplars": metric.exemplars}
    if isinstance(metric, Gauge):
        described["merge"] = metric.merge
    return described
