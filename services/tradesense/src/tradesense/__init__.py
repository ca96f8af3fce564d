"""TradeSense: a trade journal and portfolio analytics.

- :mod:`tradesense.money`, :mod:`tradesense.trades`, :mod:`tradesense.lots`: exact money, trades, and what they made;
- :mod:`tradesense.importing` reads the CSV files of brokers;
- :mod:`tradesense.analytics` says how well it went, by day, symbol and tag.
"""

from __future__ import annotations

__version__ = "0.1.0"
