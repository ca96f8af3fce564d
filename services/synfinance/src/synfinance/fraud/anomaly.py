"""How unusual a transaction is, without any label.

Each feature of behaviour is read as the probability of a value at least as extreme, estimated on reference rows; what
is common counts nothing. Of the features about one concept (pace, amount, place …) the root mean square is taken, so
that a concept does not count by the number of its features, and the concepts are added up. This is the
tail-probability idea of ECOD (Li, Zhao,
Hu, Botta, Ionescu and Chen, "ECOD: unsupervised outlier detection using empirical cumulative distribution functions",
2022), one-sided except for plain values, and grouped. It explains itself: the reason is the concept that adds most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from synfinance.fraud.features import FeatureTable

_POINTS: Final = 256
_COMMON: Final = 2.0
"""Surprise, as a negative natural logarithm of a probability, up to which a value is ordinary."""
_TWO_SIDED: Final = frozenset({"values"})

Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AnomalyModel:
    """Tail probabilities of the features of behaviour, and of the scores themselves, on reference rows."""

    names: tuple[str, ...]
    """Features, in the order of :attr:`upper`."""
    concepts: tuple[str, ...]
    """The concept of each feature."""
    tails: Reals
    """Probabilities, falling, of the points of :attr:`upper` and :attr:`lower`."""
    upper: Reals
    """For each feature, values that are exceeded with these probabilities; NaN throughout for one never seen."""
    lower: Reals
    """The same for the negative of the feature."""
    scores: Reals
    """Scores that are exceeded with these probabilities."""
    rows: int
    """Reference rows."""

    @classmethod
    def fit(cls, table: FeatureTable, rows: NDArray[Any] | slice = slice(None)) -> Self:
        """Learn what is usual from these rows of a table."""
        chosen = [place for place, concept in enumerate(table.concepts) if concept]
        values = table.values[rows][:, chosen].astype(np.float64)
        count = max(len(values), 2)
        tails = np.geomspace(1.0, 1 / count, _POINTS)
        model = cls(
            names=tuple(table.names[place] for place in chosen),
            concepts=tuple(table.concepts[place] for place in chosen),
            tails=tails,
            upper=_points(values, tails),
            lower=_points(-values, tails),
            scores=np.zeros(_POINTS),
            rows=len(values),
        )
        raw = model._concept_scores(values)[1].sum(axis=1)
        return cls(
            model.names, model.concepts, tails, model.upper, model.lower, _points(raw[:, None], tails)[0], len(values)
        )

    def score(self, table: FeatureTable) -> tuple[Reals, NDArray[np.str_]]:
        """The share of reference rows that are less unusual than each row (0 to 1), and the concept that says so.

        The concept is empty for a row in which nothing is unusual.
        """
        place = {name: index for index, name in enumerate(table.names)}
        values = table.values[:, [place[name] for name in self.names]].astype(np.float64)
        concepts, by_concept = self._concept_scores(values)
        raw = by_concept.sum(axis=1)
        rank = 1 - np.exp(-_surprise(raw, self.scores, self.tails))
        if not concepts:
            return np.zeros(len(values)), np.full(len(values), "")
        reason = np.where(by_concept.max(axis=1) > 0, np.array(concepts)[by_concept.argmax(axis=1)], "")
        return np.clip(rank, 0.0, 1.0), reason

    def _concept_scores(self, values: Reals) -> tuple[list[str], Reals]:
        """Excess surprise of each row about each concept."""
        concepts = list(dict.fromkeys(self.concepts))
        totals = np.zeros((len(values), len(concepts)))
        for place, concept in enumerate(self.concepts):
            surprise = _surprise(values[:, place], self.upper[place], self.tails)
            if concept in _TWO_SIDED:
                surprise = np.maximum(surprise, _surprise(-values[:, place], self.lower[place], self.tails))
            totals[:, concepts.index(concept)] += np.maximum(surprise - _COMMON, 0.0) ** 2
        sizes = np.array([self.concepts.count(concept) for concept in concepts], dtype=np.float64)
        # Plain values are not known to be about one thing, so they count by their number.
        sizes[[concept in _TWO_SIDED for concept in concepts]] = 1.0
        return concepts, np.sqrt(totals / sizes)


def _points(values: Reals, tails: Reals) -> Reals:
    """For each column, the values that are reached or exceeded with each of these probabilities."""
    points = np.full((values.shape[1], len(tails)), np.nan)
    for place in range(values.shape[1]):
        known = np.sort(values[:, place][np.isfinite(values[:, place])])
        if len(known):
            points[place] = known[np.clip(np.ceil((1 - tails) * len(known)).astype(np.int64), 0, len(known) - 1)]
    return points


def _surprise(values: Reals, points: Reals, tails: Reals) -> Reals:
    """-log of the probability of a value at least as great; 0 where it is not known."""
    if np.isnan(points[0]):
        return np.zeros(len(values))
    place = np.searchsorted(points, values, side="left")
    beyond = place >= len(points)
    surprise = -np.log(np.where(beyond, tails[-1] / 2, tails[np.minimum(place, len(points) - 1)]))
    return np.where(np.isfinite(values), surprise, 0.0)
