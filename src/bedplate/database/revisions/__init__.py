"""Revisions of the database's own tables."""
