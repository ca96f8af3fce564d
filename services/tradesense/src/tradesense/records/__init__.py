"""Reading and writing the tables: functions of a connection and, everywhere, of the user whose records they are."""

from __future__ import annotations

from tradesense.records import imports, journal, market, trades, users
from tradesense.records.paging import BadCursor, Page

__all__ = ["BadCursor", "Page", "imports", "journal", "market", "trades", "users"]
