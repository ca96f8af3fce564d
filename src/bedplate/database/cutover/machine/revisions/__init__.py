"""Revisions of the tables in which cutovers keep how far they are."""
