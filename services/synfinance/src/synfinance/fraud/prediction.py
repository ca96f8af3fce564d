"""Prediction by boosted trees, at the speed of the cache."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from synfinance.fraud.threads import one_thread

_BLOCK: Final = 1_500
"""Rows predicted at once: scikit-learn walks one tree over all rows after the other, and these stay in the cache."""


def predict(model: HistGradientBoostingClassifier, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The probability of each class for each row."""
    if not len(values):
        return np.empty((0, len(model.classes_)))
    with one_thread():
        parts = [model.predict_proba(values[start : start + _BLOCK]) for start in range(0, len(values), _BLOCK)]
    return np.concatenate(parts)
