"""Training on a labelled table: split by time, fit, choose a threshold, and measure on what came later."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score

from synfinance.fraud.anomaly import AnomalyModel
from synfinance.fraud.detector import Attribute, Detector, UnfitTable
from synfinance.fraud.encoding import Encoder
from synfinance.fraud.features import DAY, FeatureTable, build_features
from synfinance.fraud.labels import Labels, attribute_of, read_labels, repeats_label
from synfinance.fraud.prediction import predict
from synfinance.fraud.report import Criterion, Period, Report, quality_by, quality_of
from synfinance.fraud.roles import Roles, infer_roles
from synfinance.fraud.threads import threads_for

MAX_HONEST: Final = 60_000
"""Negative rows that are learned from; of more, a weighted sample is."""
DELAY_DAYS: Final = 7.0
"""Days until a label is known, unless said otherwise; never more than a twentieth of the table's span."""

ROUNDS: Final = 160
"""Trees at most."""
_ROUND_STEP: Final = 10
_FEWER_WORTH_IT: Final = 0.8
"""Share of the rounds up to which it is worth fitting again with as many as served best."""
_BINS: Final = 255
"""Bins of a feature, scikit-learn's default."""
_MIN_CLASS: Final = 5
_SHARES: Final = (0.65, 0.80)

Flags = NDArray[np.bool_]
Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Split:
    """Which rows, in order of time, are learned from, which choose, and which judge."""

    train: Flags
    validation: Flags
    test: Flags
    delay: int
    """Milliseconds."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Data:
    """A labelled table with its features, in order of time."""

    frame: pl.DataFrame
    table: FeatureTable
    positive: Flags
    split: _Split
    roles: Roles
    attributes: dict[str, str]
    """The columns that tell the type and severity of positive rows."""

    def values(self, rows: Flags, encoder: Encoder) -> NDArray[np.float32]:
        """What the classifier sees of these rows."""
        return np.hstack([self.table.values[rows], encoder.transform(self.frame.filter(rows))])

    def part(self, rows: Flags) -> FeatureTable:
        """The features of these rows."""
        table = self.table
        return FeatureTable(table.values[rows], table.names, table.concepts, table.order[rows], table.time[rows])

    def period(self, rows: Flags) -> Period:
        """How many of these rows there are, and when they were."""
        begin, end = None, None
        if rows.any() and self.roles.time is not None:
            moments = self.table.time[rows]
            begin, end = _written(int(moments[0])), _written(int(moments[-1]))
        return Period(rows=int(rows.sum()), positive=int((rows & self.positive).sum()), begin=begin, end=end)


def train(
    frame: pl.DataFrame,
    label: str,
    positive: str | None = None,
    *,
    criterion: Criterion | None = None,
    delay_days: float | None = None,
    exclude: tuple[str, ...] = (),
    seed: int = 0,
    rounds: int = ROUNDS,
    explain: bool = True,
    on_step: Callable[[str], None] = lambda step: None,
) -> tuple[Detector, Report]:
    """Train a detector on a table with a label column, and judge it on the latest fifth of the rows.

    The rows are split by time into 65 % to learn from, 15 % to choose the number of trees and the threshold by, and
    20 % to judge; between the parts lies a gap of ``delay_days``, in which labels come to be known. The model is kept
    as it was judged: fitting it again on all rows would shift its probabilities under the threshold. ``exclude`` names
    columns not to be used. ``rounds`` bounds the number of trees. ``explain`` measures which features matter, which
    takes half as long as the fitting.
    ``on_step`` is told what is being done.

    Raises:
        BadLabel: nothing can be learned from the label column.
        UnfitTable: no column besides the label can be used.
    """
    criterion = criterion or Criterion()
    clock = time.perf_counter
    began = clock()
    labels = read_labels(frame, label, positive)
    roles, attributes = _roles(frame, label, labels, exclude)
    on_step("features")
    table = build_features(frame, roles)
    if not table.names and not roles.categories and not roles.texts:
        raise UnfitTable("no column besides the label can be used")
    y, known = labels.positive[table.order], labels.known[table.order]
    split = _split(table.time, y, known, DELAY_DAYS if delay_days is None else delay_days)
    data = _Data(frame[table.order], table, y, split, roles, attributes)
    featured = clock()
    with threads_for(int(split.train.sum())):
        on_step("fit")
        detector = _learn(data, criterion, labels.meaning, rounds, seed)
        fitted = clock()
        on_step("judge")
        report, values = _judge(data, detector, label, criterion)
        if explain:
            report.important = _importance(detector, values, y[split.test], seed)
    report.notes = [*labels.notes, *split.notes]
    report.seconds = {"features": featured - began, "fit": fitted - featured, "judge": clock() - fitted}
    detector.summary = report.as_dict()
    return detector, report


def _roles(frame: pl.DataFrame, label: str, labels: Labels, exclude: tuple[str, ...]) -> tuple[Roles, dict[str, str]]:
    """Roles without what repeats the label, and the columns that tell the type and severity of positive rows."""
    unknown = [name for name in exclude if name not in frame.columns]
    if unknown:
        raise UnfitTable(f"there is no column {unknown[0]!r} to exclude")
    roles = infer_roles(frame, exclude={label: "it is the label", **dict.fromkeys(exclude, "excluded")})
    repeated, attributes = {}, {}
    for name in frame.columns:
        if name in (label, *exclude) or frame[name].dtype.is_nested() or not repeats_label(frame[name], labels):
            continue
        repeated[name] = "it is known only with the label"
        told = attribute_of(name)
        if told is not None and told not in attributes:
            attributes[told] = name
    return roles.without(repeated), attributes


def _learn(data: _Data, criterion: Criterion, meaning: str, rounds: int, seed: int) -> Detector:
    """Fit on the rows to learn from, and choose trees and threshold on those to choose by."""
    chosen, held_y = data.split.train, data.positive[data.split.validation]
    y = data.positive[chosen]
    learned, time = data.frame.filter(chosen), data.table.time[chosen]
    encoder, coded = Encoder.fit(learned, data.roles, y, time, data.split.delay)
    values = np.hstack([data.table.values[chosen], coded])
    held = data.values(data.split.validation, encoder)
    model = _fit_best(values, y, held, held_y, rounds, seed)
    return Detector(
        roles=data.roles,
        feature_names=data.table.names,
        anomaly=AnomalyModel.fit(data.table, chosen),
        encoder=encoder,
        classifier=model,
        threshold=criterion.threshold(held_y, predict(model, held)[:, 1]),
        attributes=_attributes(values[y], learned.filter(y), data.attributes, seed),
        meaning=meaning,
    )


def _split(moments: NDArray[np.int64], y: Flags, known: Flags, delay_days: float) -> _Split:
    """Cut the rows in order of time. Where a part would have no positive row, cut by positive rows instead."""
    rows = len(moments)
    span = int(moments[-1] - moments[0]) if rows else 0
    delay = int(min(delay_days * DAY, span / 20))
    notes = [] if span else ["the table has no time; its rows are taken to be in order"]
    place = np.arange(rows) if not span else moments
    for basis in (known, known & y):
        at = np.flatnonzero(basis)
        delay = min(delay, int(place[at[-1]] - place[at[0]]) // 20)
        first, second = (int(place[at[int(share * len(at))]]) for share in _SHARES)
        split = _Split(
            train=known & (place < first),
            validation=known & (place >= first + delay) & (place < second),
            test=known & (place >= second + delay),
            delay=delay,
        )
        parts = (split.train, split.validation, split.test)
        if all((part & y).any() and (part & ~y).any() for part in parts):
            fewest = min(int((part & y).sum()) for part in parts[1:])
            if fewest < 20:
                notes.append(f"only {fewest} positive rows choose the threshold or judge it; both are uncertain")
            if basis is not known:
                notes.append("positive rows are bunched in time; the parts have equal shares of them, not of all rows")
            return replace(split, notes=tuple(notes))
    raise UnfitTable(
        "positive rows are too few, or too close together in time, to learn from some and be judged by later ones"
    )


def _fit(values: NDArray[np.float32], y: Flags, rounds: int, seed: int) -> HistGradientBoostingClassifier:
    """Boosted trees on all positive rows and a sample of the others.

    Rare kinds of fraud need small leaves and weight: an unweighted leaf of twenty rows swallows them.
    """
    positive, honest = np.flatnonzero(y), np.flatnonzero(~y)
    kept = honest
    if len(honest) > MAX_HONEST:
        kept = np.sort(np.random.default_rng(seed).choice(honest, MAX_HONEST, replace=False))
    chosen = np.sort(np.concatenate([positive, kept]))
    lift = min(30.0, max(1.0, np.sqrt(len(honest) / max(1, len(positive)))))
    weight = np.where(y[chosen], lift, len(honest) / max(1, len(kept)))
    model = HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=rounds,
        max_leaf_nodes=31,
        min_samples_leaf=int(np.clip(len(positive) // 20, 3, 20)),
        l2_regularization=1.0,
        max_features=0.4,
        early_stopping=False,
        random_state=seed,
    )
    return model.fit(_stepped(values[chosen], weight), y[chosen], sample_weight=weight)


def _stepped(values: NDArray[np.float32], weight: Reals) -> NDArray[np.float32]:
    """Each column with its values moved to the nearest of at most as many weighted quantiles as there are bins.

    scikit-learn finds weighted bins one percentile at a time, which takes several times as long as growing the trees.
    For a column of few values it takes the midpoints between them, which are the edges of what was moved where.
    """
    stepped = values.copy()
    for column in stepped.T:
        known = np.flatnonzero(~np.isnan(column))
        order = known[np.argsort(column[known], kind="stable")]
        if not len(order):
            column[:] = 0  # scikit-learn finds no weighted bins for a column without any value.
            continue
        reached = np.cumsum(weight[order])
        places = np.searchsorted(reached, np.linspace(0, reached[-1], _BINS))
        steps = np.unique(column[order[np.minimum(places, len(order) - 1)]])
        middles = (steps[1:].astype(np.float64) + steps[:-1]) / 2
        column[known] = steps[np.searchsorted(middles, column[known])]
    return stepped


def _fit_best(
    values: NDArray[np.float32], y: Flags, held: NDArray[np.float32], held_y: Flags, rounds: int, seed: int
) -> HistGradientBoostingClassifier:
    """A model with the number of trees that has the best average precision on later rows."""
    model = _fit(values, y, rounds, seed)
    honest = np.flatnonzero(~held_y)
    sample = np.sort(np.concatenate([np.flatnonzero(held_y), honest[:: max(1, len(honest) // 20_000)]]))
    weight = np.where(held_y[sample], 1.0, len(honest) / max(1, int((~held_y[sample]).sum())))
    best, best_precision = rounds, -1.0
    for index, probability in enumerate(model.staged_predict_proba(held[sample]), 1):
        if index % _ROUND_STEP == 0 or index == rounds:
            precision = average_precision_score(held_y[sample], probability[:, 1], sample_weight=weight)
            if precision >= best_precision:
                best, best_precision = index, float(precision)
    if best > _FEWER_WORTH_IT * rounds:
        return model
    return _fit(values, y, best, seed)


def _attributes(
    values: NDArray[np.float32],
    found: pl.DataFrame,
    columns: dict[str, str],
    seed: int,
) -> dict[str, Attribute]:
    """Classifiers of type and severity, learned from positive rows; classes with too few rows are not told."""
    result = {}
    for name, column in columns.items():
        text = found[column].cast(pl.String).fill_null("unknown").to_numpy().astype(str)
        classes, counts = np.unique(text, return_counts=True)
        common = classes[counts >= _MIN_CLASS]
        if len(common) < 2:
            continue
        rows = np.isin(text, common)
        model = HistGradientBoostingClassifier(
            learning_rate=0.15,
            max_iter=40,
            max_leaf_nodes=12,
            min_samples_leaf=4,
            l2_regularization=1.0,
            max_features=0.3,
            early_stopping=False,
            random_state=seed,
        ).fit(values[rows], np.searchsorted(common, text[rows]))
        result[name] = Attribute(model, tuple(map(str, common)))
    return result


def _judge(data: _Data, detector: Detector, label: str, criterion: Criterion) -> tuple[Report, NDArray[np.float32]]:
    """How the detector does on the rows that judge, and what its classifier saw of them."""
    model, test = detector.classifier, data.split.test
    if model is None:
        raise TypeError("a detector without a classifier cannot be judged by labels")
    rows, y, values = data.frame.filter(test), data.positive[test], data.values(test, detector.encoder)
    probability = predict(model, values)[:, 1]
    alerts = probability >= detector.threshold
    report = Report(
        label=label,
        positive=detector.meaning,
        criterion=str(criterion),
        threshold=detector.threshold,
        delay_days=data.split.delay / DAY,
        iterations=model.n_iter_,
        features=values.shape[1],
        train=data.period(data.split.train),
        validation=data.period(data.split.validation),
        test=data.period(test),
        quality=quality_of(y, probability, alerts),
        anomaly_average_precision=float(average_precision_score(y, detector.anomaly.score(data.part(test))[0])),
    )
    for name, target in (("type", report.by_type), ("severity", report.by_severity)):
        if name in data.attributes:
            truth = rows[data.attributes[name]].cast(pl.String).fill_null("").to_numpy().astype(str)
            said = None
            if name in detector.attributes:
                said = np.full(len(y), "", dtype="<U80")
                said[alerts] = detector.attributes[name].predict(values[alerts])
            target.extend(quality_by(truth, y, probability, alerts, said))
    return report, values


def _importance(detector: Detector, values: NDArray[np.float32], y: Flags, seed: int) -> list[tuple[str, float]]:
    """The ten features whose shuffling costs most average precision, on a sample of rows."""
    model = detector.classifier
    if model is None:
        return []
    names = (*detector.feature_names, *detector.encoder.feature_names)
    rng = np.random.default_rng(seed)
    positive, honest = np.flatnonzero(y), np.flatnonzero(~y)
    sample = np.concatenate([
        rng.choice(positive, min(len(positive), 300), replace=False),
        rng.choice(honest, min(len(honest), 2_000), replace=False),
    ])  # fmt: skip
    values, y = values[sample].copy(), y[sample]
    base = average_precision_score(y, predict(model, values)[:, 1])
    losses = []
    for place, name in enumerate(names):
        kept = values[:, place].copy()
        values[:, place] = rng.permutation(kept)
        losses.append((name, float(base - average_precision_score(y, predict(model, values)[:, 1]))))
        values[:, place] = kept
    return sorted(losses, key=lambda loss: -loss[1])[:10]


def _written(milliseconds: int) -> str | None:
    """A time as text; None for one that does not count from 1970, or is out of all bounds."""
    if not 0 < milliseconds < 32_503_680_000_000:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
