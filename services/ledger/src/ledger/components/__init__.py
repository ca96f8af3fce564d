"""Ledger's business as components, in the form that Bedplate's own have."""

from __future__ import annotations

from ledger.components.books import Books, BooksSettings, NoSuchEntry, Taken
from ledger.components.imports import Imports, ImportSettings
from ledger.components.pool import Busy
from ledger.components.rehearsal import Rehearsal, RehearsalSettings
from ledger.components.reports import Reports
from ledger.components.tokens import NotAllowed, Tokens, Unauthenticated, Who

__all__ = [
    "Books",
    "BooksSettings",
    "Busy",
    "ImportSettings",
    "Imports",
    "NoSuchEntry",
    "NotAllowed",
    "Rehearsal",
    "RehearsalSettings",
    "Reports",
    "Taken",
    "Tokens",
    "Unauthenticated",
    "Who",
]
