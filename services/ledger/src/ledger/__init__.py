"""Ledger: accounting for a million organisations.

- :mod:`ledger.money`, :mod:`ledger.chart`, :mod:`ledger.entries`: exact money, accounts, and entries that balance;
- :mod:`ledger.scope` is the one way to an organisation's rows; :mod:`ledger.records` are the queries;
- :mod:`ledger.reading` reads CSV files, :mod:`ledger.generating` makes up organisations by the million.
"""

from __future__ import annotations

__version__ = "0.1.0"
