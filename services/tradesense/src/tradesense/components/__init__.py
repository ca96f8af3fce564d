"""TradeSense's business as components, in the form that Bedplate's own have."""

from __future__ import annotations

from tradesense.components.accounts import Accounts, AccountSettings, BadCredentials, EmailTaken, WeakPassword
from tradesense.components.analytics import Analytics, AnalyticsSettings
from tradesense.components.deletions import Deletion, Deletions
from tradesense.components.imports import Imported, Imports, ImportSettings
from tradesense.components.live import Live, LiveSettings
from tradesense.components.market import MadeUpQuotes, Market, MarketSettings, NoQuotes, QuoteSource
from tradesense.components.pool import Busy
from tradesense.components.records import Records

__all__ = [
    "AccountSettings",
    "Accounts",
    "Analytics",
    "AnalyticsSettings",
    "BadCredentials",
    "Busy",
    "Deletion",
    "Deletions",
    "EmailTaken",
    "ImportSettings",
    "Imported",
    "Imports",
    "Live",
    "LiveSettings",
    "MadeUpQuotes",
    "Market",
    "MarketSettings",
    "NoQuotes",
    "QuoteSource",
    "Records",
    "WeakPassword",
]
