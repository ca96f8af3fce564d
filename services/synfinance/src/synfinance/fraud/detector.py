"""The detector: scores transactions by what it learned from labels, and by how unusual they are."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from synfinance.fraud.anomaly import AnomalyModel
from synfinance.fraud.encoding import Encoder
from synfinance.fraud.features import FeatureTable, build_features
from synfinance.fraud.prediction import predict
from synfinance.fraud.roles import Roles, as_milliseconds, infer_roles, is_number

ANOMALY_BUDGET: Final = 0.01
"""Share of ordinary rows that are called anomalies."""
_SEVERITIES: Final = ("low", "medium", "high", "critical")
_SEVERITY_STEPS: Final = (0.5, 0.85, 0.97)
"""How far above the threshold, as a share of the way to 1, each severity after the first begins."""

Reals = NDArray[np.float64]


class UnfitTable(ValueError):
    """A table that a detector cannot score, or learn from; the message says what it lacks, in one line."""


@dataclass(slots=True)
class Scores:
    """What a detector says about each row of a table, in the table's order."""

    probability: Reals | None
    """Of being positive, between 0 and 1; None without a trained classifier."""
    anomaly: Reals
    """Share of reference rows that are less unusual."""
    decision: NDArray[np.bool_]
    """Whether to alert: the probability reaches the threshold or, without a classifier, the row is an anomaly."""
    is_anomaly: NDArray[np.bool_]
    type: NDArray[np.str_]
    """The kind of fraud, for alerts; empty for other rows."""
    severity: NDArray[np.str_]
    """low, medium, high or critical, for alerts; empty for other rows."""
    reason: NDArray[np.str_]
    """What is most unusual about the row, such as ``entity_pace``; empty when nothing is."""
    feature_seconds: float
    """Time that feature engineering took."""
    prediction_seconds: float
    """Time that prediction took."""

    def __len__(self) -> int:
        return len(self.anomaly)

    def frame(self) -> pl.DataFrame:
        """The scores as columns, to be put beside the table's own."""
        columns: dict[str, Any] = {} if self.probability is None else {"fraud_probability": self.probability.round(6)}
        return pl.DataFrame(
            {
                **columns,
                "alert": self.decision,
                "alert_type": self.type,
                "alert_severity": self.severity,
                "anomaly_score": self.anomaly.round(6),
                "anomaly": self.is_anomaly,
                "anomaly_reason": self.reason,
            }
        )


@dataclass(frozen=True, slots=True)
class Derived:
    """A table with its features, between the two halves of :meth:`Detector.score`."""

    rows: pl.DataFrame
    """The past, then the rows to be scored."""
    table: FeatureTable
    past: int
    """How many of the rows are the past."""
    seconds: float
    """Time that feature engineering took."""


@dataclass(slots=True)
class Attribute:
    """A second classifier that tells the type or severity of what the first one found."""

    model: HistGradientBoostingClassifier
    classes: tuple[str, ...]

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.str_]:
        """The likeliest class of each row."""
        if not len(values):
            return np.empty(0, dtype=np.str_)
        return np.asarray(np.array(self.classes)[predict(self.model, values).argmax(axis=1)])


@dataclass(slots=True)
class Detector:
    """Scores any table whose columns play the roles it was made for.

    Made by :func:`synfinance.fraud.train` from labels, or by :meth:`unlabelled` without. It holds no state between
    calls, so that one detector may serve several threads.
    """

    roles: Roles
    feature_names: tuple[str, ...]
    anomaly: AnomalyModel
    encoder: Encoder = field(default_factory=Encoder)
    classifier: HistGradientBoostingClassifier | None = None
    threshold: float = 0.5
    attributes: dict[str, Attribute] = field(default_factory=dict)
    meaning: str = ""
    """What positive means."""
    summary: dict[str, Any] = field(default_factory=dict)
    """The report of its training, as plain values."""

    @classmethod
    def unlabelled(cls, frame: pl.DataFrame, roles: Roles | None = None) -> Detector:
        """A detector of anomalies only, for which the rows of this table are the reference.

        Raises:
            UnfitTable: no column of the table can be used.
        """
        return cls._unlabelled(frame, roles)[0]

    @classmethod
    def score_unlabelled(cls, frame: pl.DataFrame, roles: Roles | None = None) -> tuple[Detector, Scores]:
        """Judge a table by itself: :meth:`unlabelled`, and the scores of the same rows, deriving features once."""
        begin = time.perf_counter()
        detector, table = cls._unlabelled(frame, roles)
        return detector, detector._judge(frame, table, 0, time.perf_counter() - begin)

    @classmethod
    def _unlabelled(cls, frame: pl.DataFrame, roles: Roles | None) -> tuple[Detector, FeatureTable]:
        roles = roles or infer_roles(frame)
        table = build_features(frame, roles)
        if not any(table.concepts):
            raise UnfitTable(
                "no column can be judged: the table has no amounts, no other numbers, and nobody whose behaviour "
                "could be followed"
            )
        return cls(roles, table.names, AnomalyModel.fit(table)), table

    def score(self, frame: pl.DataFrame, history: pl.DataFrame | None = None) -> Scores:
        """Score every row of a table.

        ``history`` holds rows that came before, whose cards and merchants are remembered; they are not scored.

        Raises:
            UnfitTable: a column that the detector needs is missing or of a wrong type.
        """
        return self.judge(self.derive(frame, history))

    def derive(self, frame: pl.DataFrame, history: pl.DataFrame | None = None) -> Derived:
        """The first half of :meth:`score`: derive the features of a table."""
        begin = time.perf_counter()
        self._check(frame)
        past = 0 if history is None else history.height
        rows = frame if history is None else joined(history, frame, self.roles.used)
        return Derived(rows, build_features(rows, self.roles), past, time.perf_counter() - begin)

    def judge(self, derived: Derived) -> Scores:
        """The second half of :meth:`score`: predict from features."""
        return self._judge(derived.rows, derived.table, derived.past, derived.seconds)

    def _judge(self, rows: pl.DataFrame, table: FeatureTable, past: int, feature_seconds: float) -> Scores:
        # Only what is to be scored goes on from here; the past has served.
        wanted = table.order >= past
        table = FeatureTable(
            table.values[wanted], table.names, table.concepts, table.order[wanted] - past, table.time[wanted]
        )
        begin = time.perf_counter()
        size = len(table.order)
        anomaly, reason = self.anomaly.score(table)
        is_anomaly = anomaly >= 1 - ANOMALY_BUDGET
        probability: Reals | None = None
        decision = is_anomaly
        kind, severity = np.full(size, "", dtype="<U40"), np.full(size, "", dtype="<U40")
        if self.classifier is not None:
            values = np.hstack([table.values, self.encoder.transform(rows[past + table.order])])
            probability = predict(self.classifier, values)[:, 1]
            decision = probability >= self.threshold
            found = np.flatnonzero(decision)
            for name, target in (("type", kind), ("severity", severity)):
                if name in self.attributes:
                    target[found] = self.attributes[name].predict(values[found])
        if "type" not in self.attributes:
            kind[decision] = "fraud" if self.classifier is not None else "anomaly"
        if "severity" not in self.attributes:
            severity[decision] = _graded(self._margin(probability, anomaly)[decision])
        back = np.empty(size, np.int64)
        back[table.order] = np.arange(size)
        return Scores(
            probability=None if probability is None else probability[back],
            anomaly=anomaly[back],
            decision=decision[back],
            is_anomaly=is_anomaly[back],
            type=kind[back],
            severity=severity[back],
            reason=reason[back],
            feature_seconds=feature_seconds,
            prediction_seconds=time.perf_counter() - begin,
        )

    def _margin(self, probability: Reals | None, anomaly: Reals) -> Reals:
        """How far an alert is above the threshold, from 0 to 1."""
        value, floor = (anomaly, 1 - ANOMALY_BUDGET) if probability is None else (probability, self.threshold)
        return np.clip((value - floor) / max(1e-9, 1 - floor), 0, 1)

    def _check(self, frame: pl.DataFrame) -> None:
        missing = [name for name in self.roles.used if name not in frame.columns]
        if missing:
            raise UnfitTable(f"the model needs columns that the table does not have: {', '.join(missing)}")
        roles = self.roles
        for name in (roles.amount, roles.latitude, roles.longitude, *roles.numbers):
            if name is not None and frame[name].null_count() < frame.height and not is_number(frame[name]):
                raise UnfitTable(f"column {name!r} was numeric when the model was trained; here it is not")
        if roles.time is not None and frame.height:
            column = frame[roles.time]
            if column.null_count() < frame.height and as_milliseconds(column).null_count() > 0.5 * frame.height:
                raise UnfitTable(f"column {roles.time!r} cannot be read as dates or times")

    def save(self, path: str | Path) -> None:
        """Write the detector to a directory; see :mod:`synfinance.fraud.store`."""
        from synfinance.fraud.store import save

        save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Detector:
        """Read a detector that :meth:`save` wrote. Raises :class:`synfinance.fraud.BadModel`."""
        from synfinance.fraud.store import load

        return load(Path(path))


def joined(history: pl.DataFrame, frame: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """The rows of both, one after the other, with these columns; types that differ meet as text.

    Raises:
        UnfitTable: the history lacks one of the columns.
    """
    missing = [name for name in columns if name not in history.columns]
    if missing:
        raise UnfitTable(f"the history lacks columns that the model needs: {', '.join(missing)}")
    one, other = history.select(columns), frame.select(columns)
    differing = [name for name in columns if one.schema[name] != other.schema[name]]
    as_text = [pl.col(name).cast(pl.String) for name in differing]
    return pl.concat([one.with_columns(as_text), other.with_columns(as_text)])


def _graded(margin: Reals) -> NDArray[np.str_]:
    """Severity by how far an alert is above the threshold, where labels did not teach it."""
    reached = np.searchsorted(_SEVERITY_STEPS, margin, side="right")
    return np.asarray(np.array(_SEVERITIES)[reached])
