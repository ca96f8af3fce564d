"""How well trades went: lots and prices in, outcomes, returns and ratios out."""

from __future__ import annotations

from tradesense.analytics.equity import Equity, equity
from tradesense.analytics.report import Analysis, ClosedTrade, Outcomes, Returns, analyse
from tradesense.analytics.xirr import xirr

__all__ = ["Analysis", "ClosedTrade", "Equity", "Outcomes", "Returns", "analyse", "equity", "xirr"]
