"""Data quality of any table: a score from 0 to 100, and every lost point explained.

    from synfinance.files import load_table
    from synfinance.quality import profile

    report = profile(load_table("payments.csv"))
    report.score, report.missing_rate["amount"], [finding.message for finding in report.column("amount").findings]

What is looked for and what it costs stands in :mod:`synfinance.quality.faults`, how it adds up in
:mod:`synfinance.quality.score`.
"""

from __future__ import annotations

from synfinance.quality.faults import RULES, Dimension, Fault, Rule, Severity
from synfinance.quality.kinds import Kind
from synfinance.quality.profiling import EXAMINED_ROWS, profile
from synfinance.quality.report import ColumnReport, Drift, DriftKind, Finding, Report, band_of
from synfinance.quality.schema import BadSchema, ColumnRule, Schema

__all__ = [
    "EXAMINED_ROWS",
    "RULES",
    "BadSchema",
    "ColumnReport",
    "ColumnRule",
    "Dimension",
    "Drift",
    "DriftKind",
    "Fault",
    "Finding",
    "Kind",
    "Report",
    "Rule",
    "Schema",
    "Severity",
    "band_of",
    "profile",
]
