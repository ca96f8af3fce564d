"""Revisions of TradeSense's tables."""
