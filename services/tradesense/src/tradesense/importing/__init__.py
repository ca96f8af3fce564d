"""Importing what brokers export.

A :class:`Mapping` says what the columns of a file mean; :data:`PRESETS` has those of several brokers. :func:`read`
makes trades of a file, and a fault with line, reason and mend of every row that it cannot read; :func:`fresh` finds
those that are not there yet.
"""

from __future__ import annotations

from tradesense.importing.mapping import FIELDS, BadMapping, Column, Mapping, Skip, column
from tradesense.importing.presets import GENERIC, PRESETS
from tradesense.importing.reading import BadFile, Fault, Reading, decode, detect, read
from tradesense.importing.twins import Known, fresh

__all__ = [
    "FIELDS", "GENERIC", "PRESETS", "BadFile", "BadMapping", "Column", "Fault", "Known", "Mapping", "Reading", "Skip",
    "column", "decode", "detect", "fresh", "read",
]  # fmt: skip
