"""Revisions of Ledger's tables."""
