"""Metric families as values: declared once, without cells, usable in PromQL by interpolation.

A family is frozen and hashable. Called with labels it is narrowed: ``HITS(cache="reports")``. Its ``str`` is a
PromQL selector, so an alert reads ``f"rate({HITS(cache='reports')}[5m])"`` and renaming the family renames the
alert. Cells come to be only when a :class:`~bedplate.component.Host` binds the family.

Names follow the Prometheus conventions: base units, ``_total`` on counters, the unit as the last word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from bedplate.problems import DeclarationError

__all__ = ["DURATION_BUCKETS", "OTHER", "Counter", "Gauge", "Histogram", "Label", "Metric", "Summary", "taken_names"]

#: The OpenTelemetry boundaries for durations, in seconds (semantic conventions 1.44).
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

#: The label value that stands for every value beyond a label's bound.
OTHER = "_other"

#: Distinct values that a label may take when its declaration does not say.
DEFAULT_LIMIT = 100

Merge = Literal["sum", "max", "min", "last", "ratio"]
LabelSpec = Sequence[str] | Mapping[str, Sequence[str] | int]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*\Z")
_RESERVED_LABELS = frozenset({"le", "quantile", "job", "instance"})
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Label:
    """A label and its bound: a closed set of values, or a number of distinct values; the rest is ``_other``."""

    name: str
    values: tuple[str, ...] | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, init=False, eq=False)
class Metric:
    """A metric family without cells; use :class:`Counter`, :class:`Gauge`, :class:`Histogram` or :class:`Summary`.

    :param name: the full exposition name, ``bedplate_cache_hits_total`` or ``http_server_request_duration_seconds``.
    :param help: one sentence for the reader of a dashboard.
    :param labels: names, or a mapping from a name to its allowed values (a sequence) or to the number of distinct
        values it may take (an int). Values beyond the bound are counted under ``_other``.
    :param unit: the base unit (``seconds``, ``bytes``, ``ratio`` …); the name must end with it.
    :raises DeclarationError: when the name, the unit or a label breaks the conventions.
    """

    name: str
    help: str
    labels: tuple[Label, ...] = ()
    unit: str = ""
    fixed: tuple[tuple[str, str], ...] = ()

    type: ClassVar[str]

    def __init__(self, name: str, help: str, labels: LabelSpec | tuple[Label, ...] = (), *, unit: str = "") -> None:
        self._set(name=name, help=help, labels=_labels(name, labels), unit=unit, fixed=())
        self._validate()

    def _set(self, **values: object) -> None:
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def _validate(self) -> None:
        if not _NAME.match(self.name):
            raise DeclarationError(
                f"Metric name {self.name!r} is not a Prometheus name.", "Use letters, digits and underscores."
            )
        if not self.help.strip():
            raise DeclarationError(f"Metric {self.name} has no help.", "Say in one sentence what it counts.")
        if self.unit and not self.stem.endswith(f"_{self.unit}"):
            raise DeclarationError(
                f"Metric {self.name} has the unit {self.unit!r} but its name does not end with it.",
                f"Name it {self.stem}_{self.unit}{'_total' if self.type == 'counter' else ''}.",
            )
        if self.type != "counter" and self.name.endswith("_total"):
            raise DeclarationError(
                f"{self.type.capitalize()} {self.name} ends with _total, which only counters do.",
                f"Name it {self.stem.removesuffix('_total')}.",
            )

    @property
    def stem(self) -> str:
        """The family's name in OpenMetrics: the name without a counter's ``_total``."""
        return self.name

    @property
    def family(self) -> Self:
        """The family itself, without narrowing."""
        return self if not self.fixed else self._narrowed(())

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of all labels, in their declared order."""
        return tuple(label.name for label in self.labels)

    @property
    def sample_names(self) -> tuple[str, ...]:
        """Every sample name that the exposition of this family can hold."""
        return (self.name,)

    def __call__(self, **labels: str) -> Self:
        """Narrow the family to the given label values.

        :raises DeclarationError: when a label is not declared, or already fixed to another value.
        """
        fixed = dict(self.fixed)
        for name, value in labels.items():
            label = next((label for label in self.labels if label.name == name), None)
            if label is None:
                known = ", ".join(self.label_names) or "none"
                raise DeclarationError(f"Metric {self.name} has no label {name!r}.", f"Its labels: {known}.")
            if label.values is not None and value not in label.values and value != OTHER:
                raise DeclarationError(
                    f"Label {name!r} of {self.name} cannot be {value!r}.", f"It is one of {', '.join(label.values)}."
                )
            if fixed.setdefault(name, value) != value:
                raise DeclarationError(
                    f"{self} is already narrowed: {name} is {fixed[name]!r}, not {value!r}.",
                    "Narrow the family instead.",
                )
        ordered = tuple((name, fixed[name]) for name in self.label_names if name in fixed)
        return self._narrowed(ordered)

    def _narrowed(self, fixed: tuple[tuple[str, str], ...]) -> Self:
        clone = object.__new__(self.__class__)
        clone.__dict__.update(self.__dict__)
        object.__setattr__(clone, "fixed", fixed)
        return clone

    def selector(self, suffix: str = "") -> str:
        """Return the PromQL selector of this family, or of one of its sample names (``_bucket`` …)."""
        matchers = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in self.fixed)
        return f"{self.name}{suffix}" + (f"{{{matchers}}}" if matchers else "")

    def __str__(self) -> str:
        return self.selector()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        # Bound children are looked up by their metric: the name and the narrowing tell families apart well enough.
        return hash((self.name, self.fixed))


class Counter(Metric):
    """A value that only grows; its name ends with ``_total``."""

    type = "counter"

    def _validate(self) -> None:
        if not self.name.endswith("_total"):
            raise DeclarationError(
                f"Counter {self.name} must end with _total.", f"Name it {self.name}_total, or declare a Gauge."
            )
        super()._validate()

    @property
    def stem(self) -> str:
        """The family's name in OpenMetrics, without ``_total``."""
        return self.name.removesuffix("_total")


@dataclass(frozen=True, init=False, eq=False)
class Gauge(Metric):
    """A value that goes up and down.

    :param merge: how the workers of one host become one sample: ``sum`` (connections), ``max`` or ``min`` (a worst
        case), ``last`` (the most recent write), or ``ratio`` (numerator and denominator are summed before dividing,
        so that a rate over several workers is weighted rightly). Workers that died no longer count.
    """

    merge: Merge = "sum"

    type = "gauge"

    def __init__(
        self, name: str, help: str, labels: LabelSpec | tuple[Label, ...] = (), *, unit: str = "", merge: Merge = "sum"
    ) -> None:
        self._set(merge=merge)
        super().__init__(name, help, labels, unit=unit)

    def _validate(self) -> None:
        if self.merge not in ("sum", "max", "min", "last", "ratio"):
            raise DeclarationError(
                f"Gauge {self.name} has no merge {self.merge!r}.", "Use sum, max, min, last or ratio."
            )
        super()._validate()


@dataclass(frozen=True, init=False, eq=False)
class Histogram(Metric):
    """Observations counted in buckets.

    :param buckets: upper bounds, ascending, in the metric's unit; ``+Inf`` is added by itself.
    :param exemplars: keep the trace of the latest sampled observation of every bucket (OpenMetrics).
    """

    buckets: tuple[float, ...] = DURATION_BUCKETS
    exemplars: bool = False

    type = "histogram"

    def __init__(
        self,
        name: str,
        help: str,
        labels: LabelSpec | tuple[Label, ...] = (),
        *,
        unit: str = "",
        buckets: Iterable[float] = DURATION_BUCKETS,
        exemplars: bool = False,
    ) -> None:
        bounds = tuple(float(bound) for bound in buckets)
        if bounds and bounds[-1] == math.inf:
            bounds = bounds[:-1]
        self._set(buckets=bounds, exemplars=exemplars)
        super().__init__(name, help, labels, unit=unit)

    def _validate(self) -> None:
        ascending = all(a < b for a, b in zip(self.buckets, self.buckets[1:], strict=False))
        if not self.buckets or not ascending or not all(map(math.isfinite, self.buckets)):
            raise DeclarationError(
                f"The buckets of {self.name} do not ascend.", "Give at least one upper bound, all finite."
            )
        super()._validate()

    @property
    def sample_names(self) -> tuple[str, ...]:
        """``_bucket``, ``_sum`` and ``_count``."""
        return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")

    @property
    def bucket(self) -> str:
        """The PromQL selector of the buckets, for ``histogram_quantile``."""
        return self.selector("_bucket")

    @property
    def sum(self) -> str:
        """The PromQL selector of the sum of all observations."""
        return self.selector("_sum")

    @property
    def count(self) -> str:
        """The PromQL selector of the number of observations."""
        return self.selector("_count")


class Summary(Metric):
    """The number and the sum of observations, without buckets.

    Quantiles computed in a process cannot be merged over workers, so there are none; where quantiles matter, use a
    :class:`Histogram`.
    """

    type = "summary"

    @property
    def sample_names(self) -> tuple[str, ...]:
        """``_sum`` and ``_count``."""
        return (f"{self.name}_sum", f"{self.name}_count")

    @property
    def sum(self) -> str:
        """The PromQL selector of the sum of all observations."""
        return self.selector("_sum")

    @property
    def count(self) -> str:
        """The PromQL selector of the number of observations."""
        return self.selector("_count")


def taken_names(metric: Metric) -> tuple[str, ...]:
    """Return every name that no other family of a service may have: its samples', its own, and that in OpenMetrics."""
    return tuple(dict.fromkeys((*metric.sample_names, metric.name, metric.stem)))


def _labels(metric: str, labels: LabelSpec | tuple[Label, ...]) -> tuple[Label, ...]:
    result: list[Label] = []
    if isinstance(labels, str):
        raise DeclarationError(f"The labels of {metric} are one string.", f"Give a sequence: ({labels!r},).")
    items: Iterable[object] = labels.items() if isinstance(labels, Mapping) else labels
    for item in items:
        if isinstance(item, Label):
            result.append(item)
        elif isinstance(item, str):
            result.append(Label(item))
        else:
            result.append(_bounded(metric, item))
    seen: set[str] = set()
    for label in result:
        if not _LABEL_NAME.match(label.name) or label.name in _RESERVED_LABELS:
            raise DeclarationError(
                f"Metric {metric} cannot have a label {label.name!r}.",
                f"Use letters, digits and underscores, and none of {', '.join(sorted(_RESERVED_LABELS))}.",
            )
        if label.name in seen:
            raise DeclarationError(f"Metric {metric} has the label {label.name!r} twice.", "Remove one.")
        if label.limit < 1:
            raise DeclarationError(f"Label {label.name!r} of {metric} allows no value.", "Give a limit of 1 or more.")
        seen.add(label.name)
    return tuple(result)


def _bounded(metric: str, item: object) -> Label:
    match item:
        case (str(name), bool() | str()):
            pass
        case (str(name), int(limit)):
            return Label(name, limit=limit)
        case (str(name), values) if isinstance(values, Iterable):
            return Label(name, values=tuple(str(value) for value in values))
    raise DeclarationError(
        f"Metric {metric} has a label {item!r} that cannot be read.",
        "Give names, or a mapping from each name to its allowed values or to how many there may be.",
    )
