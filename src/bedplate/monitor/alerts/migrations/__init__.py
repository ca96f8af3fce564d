"""Revisions of the tables of alerts."""
