"""How the detector does on what it scored lately: rates, the confusion matrix, and quality by type and severity.

Measures are those of :mod:`synfinance.fraud.report`: of a kind of fraud, *recall* is the share of its rows that were
alerted at all, *precision* the share of the alerts said to be of this kind that are.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bedplate.component import Host
from bedplate.metric import OTHER
from synfinance.components.rolling import Rolling
from synfinance.components.signals.fraud import (
    ALL,
    ANOMALY_RATE,
    F1,
    FRAUD_RATE,
    OUTCOME,
    OUTCOMES,
    PRECISION,
    RECALL,
    SCORED,
    TYPES,
)
from synfinance.fraud import Scores
from synfinance.generator import SEVERITIES

__all__ = ["Labels", "Scoreboard"]

_TRUTH: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False),
}

Texts = NDArray[np.str_]
_Part = tuple[str, str]
"""Which column tells it (``fraud_type`` or ``severity``), and its value."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of the rows of a table, as its own columns say."""

    fraud: NDArray[np.bool_]
    parts: dict[str, Texts]
    """The kind and the severity of each row, where there are such columns."""

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Self | None:
        """Read ``is_fraud``, ``fraud_type`` and ``severity``; None unless ``is_fraud`` is known of every row."""
        if "is_fraud" not in frame.columns or not frame.height:
            return None
        text = frame["is_fraud"].cast(pl.String, strict=False).str.to_lowercase()
        column = text.replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
        if column.null_count():
            return None
        parts: dict[str, Texts] = {
            name: frame[name].cast(pl.String).fill_null("").to_numpy().astype(np.str_)
            for name in ("fraud_type", "severity")
            if name in frame.columns
        }
        return cls(column.to_numpy(), parts)


class Scoreboard:
    """Counts in a window, shown as gauges and as a summary."""

    def __init__(self, host: Host, seconds: float) -> None:
        self._host = host
        self._outcomes = {outcome: host.bind(OUTCOME, outcome=outcome) for outcome in OUTCOMES}
        self._scored = host.bind(SCORED)
        self._shown: set[_Part] = set()
        self.rolling: Rolling[tuple[str, ...]] = Rolling(host, "fraud", seconds, self.show)

    def add(self, scores: Scores, labels: Labels | None, *, named: bool) -> None:
        """Count a scored table; ``named`` says that its alerts name kinds of fraud, not anomalies alone."""
        add, alerts = self.rolling.add, scores.decision
        self._scored.inc(len(scores))
        add(("rows",), len(scores))
        add(("alerts",), int(alerts.sum()))
        add(("anomalies",), int(scores.is_anomaly.sum()))
        if labels is not None:
            self._add_labelled(scores, labels, named)
        self.show()

    def _add_labelled(self, scores: Scores, labels: Labels, named: bool) -> None:
        add, alerts, fraud = self.rolling.add, scores.decision, labels.fraud
        counts = (alerts & fraud, alerts & ~fraud, ~alerts & ~fraud, ~alerts & fraud)
        for outcome, rows in zip(OUTCOMES, counts, strict=True):
            add(("outcome", outcome), int(rows.sum()))
            self._outcomes[outcome].inc(int(rows.sum()))
        said = {"fraud_type": scores.type, "severity": scores.severity}
        for part, truth in labels.parts.items():
            for what, rows, values in (
                ("labelled", fraud, truth),
                ("caught", fraud & alerts, truth),
                ("said", alerts & named, said[part]),
                ("right", fraud & alerts & named & (truth == said[part]), truth),
            ):
                for value, count in Tally(values[rows].tolist()).items():
                    add((what, part, _known(part, value)), count)

    def show(self) -> None:
        """Set the gauges to what the window says; what is no longer in it becomes *no data*."""
        totals, bind = self.rolling.totals(), self._host.bind
        rows = totals.get(("rows",), 0.0)
        bind(FRAUD_RATE).ratio(totals.get(("alerts",), 0.0), rows)
        bind(ANOMALY_RATE).ratio(totals.get(("anomalies",), 0.0), rows)
        now = {(part, value): counts for part, value, counts in self._parts(totals)}
        self._shown |= now.keys()
        for part, value in (("fraud_type", ALL), *self._shown):
            counts = self._overall(totals) if value == ALL else now.get((part, value), Counts())
            labels = {"fraud_type": ALL, "severity": ALL, part: value}
            bind(PRECISION, **labels).ratio(counts.right, counts.said)
            bind(RECALL, **labels).ratio(counts.caught, counts.labelled)
            weight = 0.0 if counts.f1 is None else counts.labelled
            bind(F1, **labels).ratio((counts.f1 or 0.0) * weight, weight)

    def summary(self) -> dict[str, Any]:
        """Return what the window says, JSON-able; shares are None where nothing tells them."""
        totals = self.rolling.totals()
        rows = totals.get(("rows",), 0.0)
        overall = self._overall(totals)
        matrix = {outcome: int(totals.get(("outcome", outcome), 0)) for outcome in OUTCOMES}
        return {
            "window_seconds": self.rolling.seconds,
            "transactions": int(rows),
            "alerts": int(totals.get(("alerts",), 0)),
            "anomalies": int(totals.get(("anomalies",), 0)),
            "fraud_rate": _share(totals.get(("alerts",), 0.0), rows),
            "anomaly_rate": _share(totals.get(("anomalies",), 0.0), rows),
            "confusion_matrix": matrix if sum(matrix.values()) else None,
            **overall.measures(),
            "by_type": self._listed(totals, "fraud_type"),
            "by_severity": self._listed(totals, "severity"),
        }

    def _listed(self, totals: dict[tuple[str, ...], float], wanted: str) -> list[dict[str, Any]]:
        return [
            {"name": value, "fraud": int(counts.labelled), "alerts": int(counts.said), **counts.measures()}
            for part, value, counts in self._parts(totals)
            if part == wanted
        ]

    @staticmethod
    def _overall(totals: dict[tuple[str, ...], float]) -> Counts:
        hit, false, _, missed = (totals.get(("outcome", outcome), 0.0) for outcome in OUTCOMES)
        return Counts(labelled=hit + missed, caught=hit, said=hit + false, right=hit)

    @staticmethod
    def _parts(totals: dict[tuple[str, ...], float]) -> Iterator[tuple[str, str, Counts]]:
        """The kinds and severities in the window, by name."""
        for part, value in sorted({key[1:] for key in totals if len(key) == 3}):
            found = (totals.get((what, part, value), 0.0) for what in ("labelled", "caught", "said", "right"))
            yield part, value, Counts(*found)


@dataclass(frozen=True, slots=True)
class Counts:
    """What precision and recall are made of."""

    labelled: float = 0.0
    caught: float = 0.0
    said: float = 0.0
    right: float = 0.0

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, None while one of them is unknown."""
        if not self.labelled or not self.said:
            return None
        precision, recall = self.right / self.said, self.caught / self.labelled
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def measures(self) -> dict[str, float | None]:
        """Return precision, recall and F1."""
        return {
            "precision": _share(self.right, self.said),
            "recall": _share(self.caught, self.labelled),
            "f1": None if self.f1 is None else round(self.f1, 4),
        }


def _known(part: str, value: str) -> str:
    known = TYPES if part == "fraud_type" else SEVERITIES
    return value if value in known else OTHER


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None
