"""Fraud detection for any transaction table: features of the past, boosted trees, and an anomaly score without labels.

>>> from synfinance.fraud import Detector, train
>>> from synfinance.generator import Generator, GeneratorConfig
>>> generator = Generator(GeneratorConfig(customers=200, fraud_rate=0.03, seed=1))
>>> detector, report = train(generator.batch(20_000), "is_fraud")
>>> scores = detector.score(generator.batch(1_000, fraud=30))
>>> len(scores), scores.frame().columns[:2]
(1000, ['fraud_probability', 'alert'])
"""

from __future__ import annotations

from synfinance.fraud.detector import Detector, Scores, UnfitTable
from synfinance.fraud.features import FeatureTable, build_features
from synfinance.fraud.labels import BadLabel
from synfinance.fraud.report import Criterion, Report
from synfinance.fraud.roles import Roles, infer_roles
from synfinance.fraud.store import BadModel
from synfinance.fraud.training import train

__all__ = [
    "BadLabel",
    "BadModel",
    "Criterion",
    "Detector",
    "FeatureTable",
    "Report",
    "Roles",
    "Scores",
    "UnfitTable",
    "build_features",
    "infer_roles",
    "train",
]
