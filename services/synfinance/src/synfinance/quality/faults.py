"""The catalogue of faults that a profile looks for: what each counts towards, how heavily, and how to mend it.

Everything that decides a score stands in :data:`RULES`. A fault found in a share *s* of the values takes the fraction

    loss = weight · (1 − (1 − s) ** gain)

of the score of its column (or of the whole file, for faults of rows): the weight is what the fault costs when every
value has it, the gain how much harder than proportionally a few bad values count. :mod:`synfinance.quality.score`
combines the losses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Dimension(StrEnum):
    """The six things that a quality score is made of."""

    COMPLETENESS = "completeness"
    VALIDITY = "validity"
    CONSISTENCY = "consistency"
    UNIQUENESS = "uniqueness"
    OUTLIERS = "outliers"
    DRIFT = "drift"


class Severity(StrEnum):
    """How much a finding matters: an error breaks uses of the data, a warning distorts them, a note informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for an error, 2 for a note: sorts the worst first."""
        return _RANKS[self]


_RANKS: Final = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


class Fault(StrEnum):
    """What can be found in a column or in the rows of a file."""

    MISSING = "missing"
    DISGUISED_MISSING = "disguised_missing"
    STRUCTURAL_MISSING = "structural_missing"
    PLACEHOLDER = "placeholder"
    REQUIRED_MISSING = "required_missing"
    ABSENT_COLUMN = "absent_column"
    UNKNOWN_COLUMN = "unknown_column"
    WRONG_TYPE = "wrong_type"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    NOT_ALLOWED = "not_allowed"
    BAD_PATTERN = "bad_pattern"
    FUTURE_DATE = "future_date"
    MOJIBAKE = "mojibake"
    CONTROL_CHARACTERS = "control_characters"
    DUPLICATE_ID = "duplicate_id"
    DUPLICATE_ROWS = "duplicate_rows"
    TWIN_ROWS = "twin_rows"
    LOADED_TWICE = "loaded_twice"
    TIME_GAP = "time_gap"
    SPELLING = "spelling"
    TYPO = "typo"
    WHITESPACE = "whitespace"
    TRUNCATED = "truncated"
    MIXED_FORMATS = "mixed_formats"
    NUMBER_AS_TEXT = "number_as_text"
    DATE_AS_TEXT = "date_as_text"
    CONSTANT = "constant"
    NEAR_CONSTANT = "near_constant"
    MINORITY_SIGN = "minority_sign"
    SENSITIVE = "sensitive"
    OUTLIER = "outlier"
    DRIFT = "drift"
    TREND = "trend"
    UNSEEN_VALUE = "unseen_value"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one fault costs and what to do about it."""

    dimension: Dimension
    weight: float
    """Fraction of the score lost when every value has the fault."""
    suggestion: str
    gain: float = 1.0
    """Slope at small shares: with gain 2 the first per cent of bad values costs two."""
    free: float = 0.0
    """Share that costs nothing, because clean data have as much."""
    at_least: Severity = Severity.NOTE

    def loss(self, share: float) -> float:
        """Fraction of the score that the fault takes when a ``share`` of the values has it."""
        clean = 1.0 - min(1.0, max(0.0, share - self.free))
        return self.weight * (1.0 - math.pow(clean, self.gain))


_C, _V, _S, _U, _O, _D = Dimension
_WARN, _ERR = Severity.WARNING, Severity.ERROR

RULES: Final[Mapping[Fault, Rule]] = {
    Fault.MISSING: Rule(_C, 1.0, "fill at the source, or declare the column nullable in a schema", gain=1.5),
    Fault.DISGUISED_MISSING: Rule(
        _C, 1.0, "write real nulls: sums, joins and models take these for values", gain=2.0, at_least=_WARN
    ),
    Fault.STRUCTURAL_MISSING: Rule(_C, 0.0, "nothing, when the value only exists in those rows"),
    Fault.PLACEHOLDER: Rule(_C, 0.0, "make sure that readers know it as a value of its own"),
    Fault.REQUIRED_MISSING: Rule(_V, 1.0, "reject such rows where they enter", gain=2.0, at_least=_ERR),
    Fault.ABSENT_COLUMN: Rule(_V, 1.0, "deliver the column, or take it out of the schema", at_least=_ERR),
    Fault.UNKNOWN_COLUMN: Rule(_V, 0.0, "add it to the schema, or stop delivering it"),
    Fault.WRONG_TYPE: Rule(_V, 1.0, "correct or null these values before loading", gain=2.0, at_least=_WARN),
    Fault.NOT_FINITE: Rule(_V, 1.0, "find the division that makes them; store null", gain=2.0, at_least=_WARN),
    Fault.OUT_OF_RANGE: Rule(_V, 1.0, "check the unit and the source of these values", gain=2.0, at_least=_WARN),
    Fault.NOT_ALLOWED: Rule(_V, 1.0, "map to an allowed value, or extend the list", gain=2.0, at_least=_WARN),
    Fault.BAD_PATTERN: Rule(_V, 1.0, "validate the format where the value is entered", gain=2.0, at_least=_WARN),
    Fault.FUTURE_DATE: Rule(_V, 1.0, "check the clock, the time zone and the date format", gain=2.0, at_least=_WARN),
    Fault.MOJIBAKE: Rule(_V, 0.6, "decode the source with its real encoding", gain=2.0, at_least=_WARN),
    Fault.CONTROL_CHARACTERS: Rule(_V, 0.6, "strip control characters on import", gain=2.0, at_least=_WARN),
    Fault.DUPLICATE_ID: Rule(_U, 0.8, "find which row is right; enforce uniqueness", gain=2.0, at_least=_WARN),
    Fault.DUPLICATE_ROWS: Rule(_U, 0.8, "remove the copies; make the load idempotent", at_least=_WARN),
    Fault.TWIN_ROWS: Rule(_U, 0.0, "keep them unless the bank's transaction id says otherwise"),
    Fault.LOADED_TWICE: Rule(_U, 0.8, "load that period again, once", at_least=_ERR),
    Fault.TIME_GAP: Rule(_C, 0.5, "ask the source for the missing period", at_least=_WARN),
    Fault.SPELLING: Rule(_S, 0.5, "map the variants to one spelling", gain=2.0),
    Fault.TYPO: Rule(_S, 0.5, "correct the misspelt values", gain=2.0),
    Fault.WHITESPACE: Rule(_S, 0.2, "trim and collapse blanks on import"),
    Fault.TRUNCATED: Rule(_S, 0.5, "widen the field at the source; match by prefix until then"),
    Fault.MIXED_FORMATS: Rule(_S, 0.5, "write one ISO 8601 format", gain=2.0, at_least=_WARN),
    Fault.NUMBER_AS_TEXT: Rule(_S, 0.02, "store as a number"),
    Fault.DATE_AS_TEXT: Rule(_S, 0.01, "store as a date or a timestamp"),
    Fault.CONSTANT: Rule(_S, 0.0, "drop it where the value carries no information"),
    Fault.NEAR_CONSTANT: Rule(_S, 0.0, "check that the rare values are meant"),
    Fault.MINORITY_SIGN: Rule(_S, 0.0, "treat refunds and corrections apart from purchases"),
    Fault.SENSITIVE: Rule(_V, 0.0, "tokenise or mask before the file is shared", at_least=_WARN),
    Fault.OUTLIER: Rule(_O, 0.6, "check unit and decimal point; cap or exclude in models", gain=4.0, free=0.001),
    Fault.DRIFT: Rule(_D, 0.4, "find what changed at the source before models see it", at_least=_WARN),
    Fault.TREND: Rule(_D, 0.1, "train and compare on periods that resemble each other"),
    Fault.UNSEEN_VALUE: Rule(_D, 0.4, "teach consumers the new values, or map them", gain=2.0),
}
