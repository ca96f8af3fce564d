"""The registry of one service in one process: declared families and the children bound so far."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from bedplate.metric import OTHER, Counter, Gauge, Histogram, Metric, taken_names
from bedplate.problems import DeclarationError, UndeclaredMetricError
from bedplate.telemetry.metrics.cells import Writer
from bedplate.telemetry.metrics.exposition import Exposition
from bedplate.telemetry.metrics.instruments import instrument, words_of
from bedplate.telemetry.metrics.layout import Layout, Sample
from bedplate.telemetry.metrics.merge import Exemplar, Merger, Snapshot
from bedplate.telemetry.metrics.sources import Words

__all__ = ["LABEL_LENGTH", "OVERFLOW", "Registry", "describe"]

#: Characters of a label value; what is longer is cut, because every scrape carries it.
LABEL_LENGTH = 200

OVERFLOW = Counter(
    "bedplate_metrics_label_overflow_total",
    "New label values that were counted under _other because their label's bound was reached.",
    {"metric": 500},
)


class Registry:
    """Metrics of one service: what is declared, what is bound, what is exposed.

    :param service: the service's name, for messages.
    :param directory: where the processes of the host share their cells; None keeps them in this process.
    :param before_reading: called before anything is read: whoever puts off what is to be counted counts it now.
    """

    def __init__(
        self, service: str = "", directory: Path | None = None, before_reading: Sequence[Callable[[], None]] = ()
    ) -> None:
        self.service = service
        self.directory = directory
        self._before_reading = before_reading
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
                for sample in taken_names(family):
                    owner = self._samples.get(sample, family.name)
                    if owner != family.name:
                        raise DeclarationError(
                            f"Metric {family.name} would expose {sample}, which belongs to {owner}.", "Rename one."
                        )
                self._samples |= dict.fromkeys(taken_names(family), family.name)
                self._families[family.name] = family
                self._merger.declare(describe(family))
                if not family.labels and not isinstance(family, Gauge):
                    self.bind(family)

    def bind(self, metric: Metric, /, **labels: str) -> Any:
        """Return the child for the labels, those that ``metric`` is narrowed to included.

        Values beyond a label's bound become ``_other`` and are counted in ``bedplate_metrics_label_overflow_total``.
        Whatever a value is made of, it is taken: it is cut to :data:`LABEL_LENGTH`, and what UTF-8 cannot say becomes
        ``?``.

        :raises UndeclaredMetricError: when the family is not declared here.
        :raises DeclarationError: when a label is missing, unknown, or fixed to another value already.
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
        given = dict(metric.fixed)
        for name, label in labels.items():
            if given.setdefault(name, label) != label:
                raise DeclarationError(
                    f"{metric} is already narrowed: {name} is {given[name]!r}, not {label!r}.",
                    "Bind the family instead.",
                )
        if len(given) != len(family.labels) or any(name not in given for name in family.label_names):
            wanted = ", ".join(family.label_names) or "no labels"
            raise DeclarationError(f"{metric.name} needs {wanted}; got {', '.join(given) or 'none'}.", "Name them all.")
        asked = tuple(given[label.name] for label in family.labels)
        values = tuple(
            self._bounded(family, label, _clean(value)) for label, value in zip(family.labels, asked, strict=True)
        )
        canonical = (family.name, values)
        child = self._children.get(canonical)
        if child is None:
            words = words_of(family)
            segment, offset = self._writer.allocate(describe(family), list(values), words)
            child = instrument(family, segment.words, segment.integers, offset)
            self._children[canonical] = child
        # A hostile value must not grow the table of short cuts either: only what was taken as it came is kept.
        if values == asked:
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
        try:
            return self._children[key]
        except KeyError:
            pass
        with self._lock:
            child = self._children.get(key)
            if child is None:
                described = {**family, "labels": [], "raw": True}
                cleaned = [[name, _clean(value)] for name, value in labels]
                segment, offset = self._writer.allocate(described, [sample, *cleaned], 1)
                child = self._children[key] = instrument(_EXTERNAL, segment.words, segment.integers, offset)
            return child

    async def snapshot(self, *, exemplars: bool = False) -> Snapshot:
        """Return the merged values of all processes of the host; cooperative, in slices under 5 ms."""
        for count in tuple(self._before_reading):
            count()
        return await self._merger.snapshot(exemplars=exemplars)

    async def samples(self) -> tuple[Layout, Words]:
        """Return what is exposed now, as a layout, which stays the same object while no series comes or goes, and a
        value for each of its samples.
        """
        snapshot = await self.snapshot()
        layout = await self._exposition.layout(snapshot)
        return layout, layout.values(snapshot.words)

    async def exemplars(self, families: Collection[str]) -> list[tuple[Sample, Exemplar]]:
        """Return the exemplars that histograms keep: the sample of each bucket with a trace that fell into it.

        :param families: names of the families. An exemplar is trace id, span id, value, Unix time.
        """
        snapshot = await self.snapshot(exemplars=True)
        if not snapshot.exemplars:
            return []
        layout = await self._exposition.layout(snapshot)
        found = snapshot.exemplars
        return [
            (sample, found[sample.exemplar])
            for sample in layout.samples
            if sample.exemplar in found and sample.family.name in families
        ]

    async def render(self, openmetrics: bool = False) -> bytes:
        """Return the exposition: Prometheus text 0.0.4, or OpenMetrics 1.0 with exemplars."""
        return await self._exposition.render(await self.snapshot(exemplars=openmetrics), openmetrics=openmetrics)

    async def to_json(self) -> dict[str, Any]:
        """Return the families with their samples as plain data."""
        return await self._exposition.document(await self.snapshot())

    def close(self) -> None:
        """Release this process's cells; their counters live on in the tombstone."""
        self._writer.close()
        self._merger.close()


def _clean(value: object) -> str:
    """Return a label value that every format can carry."""
    text = value if type(value) is str else str(value)
    if len(text) > LABEL_LENGTH:
        text = f"{text[: LABEL_LENGTH - 1]}…"
    # A lone surrogate, from a file name or a hostile path, is a str that no encoding of Unicode can express.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


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
