"""SynFinance: synthetic card transactions, fraud detection and data quality.

- :mod:`synfinance.generator` makes labelled card transactions, any number of them, from a seed;
- :mod:`synfinance.fraud` derives features from the past of each card and detects fraud in any transaction table;
- :mod:`synfinance.quality` scores any table from 0 to 100 and says why;
- :mod:`synfinance.files` reads CSV and Parquet files that nobody here made.
"""

from __future__ import annotations

__version__ = "0.1.0"
