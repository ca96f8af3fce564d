"""How well a detector does: precision, recall, F1 and average precision, overall, by kind of fraud and by severity."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Quality:
    """Measures of alerts against labels."""

    rows: int
    positive: int
    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    precision: float
    """Share of alerts that are right; 0 without alerts."""
    recall: float
    """Share of positive rows alerted; 0 without any."""
    f1: float
    average_precision: float
    """Area under the precision-recall curve as a step function; the share of positive rows is what chance gives."""


@dataclass(frozen=True, slots=True)
class PartQuality:
    """Measures for one kind of fraud, or one severity."""

    name: str
    positive: int
    recall: float
    precision: float | None
    """Share of the alerts said to be of this kind that are; None when kinds are not predicted."""
    f1: float | None
    average_precision: float
    """Of this kind against honest rows only."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """How the threshold is chosen on the validation rows."""

    name: str = "f1"
    value: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Criterion:
        """Read ``f1``, ``precision=0.9``, ``recall=0.8`` or ``budget=0.01``. Raises ValueError on anything else."""
        name, _, value = text.partition("=")
        if name == "f1" and not value:
            return cls()
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if name not in ("precision", "recall", "budget") or not 0 < number < 1:
            raise ValueError(
                f"unknown threshold criterion {text!r}; use f1, precision=0.9, recall=0.8 or budget=0.01 "
                "(a share between 0 and 1)"
            )
        return cls(name, number)

    def threshold(self, labels: Flags, probability: Reals) -> float:
        """The threshold that serves the criterion best on these rows; rows at or above it are alerts.

        ``precision``: the lowest threshold that has at least this precision, or the most precise one when none has.
        ``recall``: the highest that has at least this recall. ``budget``: the share of rows that are alerts.
        """
        if self.name == "budget":
            alerts = max(1, int(self.value * len(probability)))
            return float(np.sort(probability)[-alerts])
        precision, recall, thresholds = precision_recall_curve(labels, probability)
        precision, recall = precision[:-1], recall[:-1]
        if self.name == "precision":
            enough = np.flatnonzero(precision >= self.value)
            return float(thresholds[enough[0] if len(enough) else int(np.argmax(precision))])
        if self.name == "recall":
            return float(thresholds[np.flatnonzero(recall >= self.value)[-1]])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        return float(thresholds[int(np.argmax(f1))])

    def __str__(self) -> str:
        return {
            "f1": "greatest F1",
            "precision": f"precision of at least {self.value:g}",
            "recall": f"recall of at least {self.value:g}",
            "budget": f"alerts on {self.value:.2%} of the rows",
        }[self.name]


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of rows in order of time."""

    rows: int
    positive: int
    begin: str | None
    end: str | None


@dataclass(slots=True)
class Report:
    """What training did and how the detector does on rows later than all it has learned from."""

    label: str
    positive: str
    criterion: str
    threshold: float
    delay_days: float
    """Time between the rows learned from and the rows judged, in which labels come to be known."""
    iterations: int
    features: int
    train: Period
    validation: Period
    test: Period
    quality: Quality
    by_type: list[PartQuality] = field(default_factory=list)
    by_severity: list[PartQuality] = field(default_factory=list)
    anomaly_average_precision: float = 0.0
    """Of the anomaly score, which knows no labels, on the same rows."""
    important: list[tuple[str, float]] = field(default_factory=list)
    """Features by how much average precision falls when their values are shuffled."""
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)


def quality_of(labels: Flags, probability: Reals, alerts: Flags) -> Quality:
    """Measure alerts, and the probabilities behind them, against labels."""
    hit, false = int((labels & alerts).sum()), int((~labels & alerts).sum())
    missed = int((labels & ~alerts).sum())
    precision, recall = _share(hit, hit + false), _share(hit, hit + missed)
    return Quality(
        rows=len(labels),
        positive=int(labels.sum()),
        true_positive=hit,
        false_positive=false,
        true_negative=len(labels) - hit - false - missed,
        false_negative=missed,
        precision=precision,
        recall=recall,
        f1=_f1(precision, recall),
        average_precision=_average_precision(labels, probability),
    )


def quality_by(
    part: NDArray[Any], labels: Flags, probability: Reals, alerts: Flags, predicted: NDArray[Any] | None
) -> list[PartQuality]:
    """Measure each part of the positive rows by itself: ``part`` names it, ``predicted`` what the detector said."""
    result = []
    for name in sorted({str(value) for value in part[labels]}):
        mine = labels & (part == name)
        hit = int((mine & alerts).sum())
        recall = hit / int(mine.sum())
        precision = None if predicted is None else _share(int((mine & alerts & (predicted == name)).sum()),
                                                          int((alerts & (predicted == name)).sum()))  # fmt: skip
        against = mine | ~labels
        result.append(
            PartQuality(
                name=name,
                positive=int(mine.sum()),
                recall=recall,
                precision=precision,
                f1=None if precision is None else _f1(precision, recall),
                average_precision=_average_precision(mine[against], probability[against]),
            )
        )
    return result


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _average_precision(labels: Flags, probability: Reals) -> float:
    return float(average_precision_score(labels, probability)) if labels.any() else 0.0
