"""What ``bedplate db indexes`` does: looks, makes what is missing, and measures what each index does for its path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bedplate.database.indexes import measure as measuring
from bedplate.database.indexes import sqlite
from bedplate.database.indexes.build import Builder, Limits
from bedplate.database.indexes.catalog import present, tables
from bedplate.database.indexes.declaration import Index
from bedplate.database.indexes.findings import BRIEF, Finding, findings
from bedplate.database.indexes.measure import Measured
from bedplate.database.indexes.place import Place
from bedplate.database.indexes.progress import Watch
from bedplate.database.indexes.states import State, states
from bedplate.problems import BedplateError

__all__ = ["Made", "Report", "apply", "look", "measure"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a database has of what is declared, and what its statistics say.

    :ivar seconds: for how long uses have been counted; None where nobody does.
    """

    states: tuple[State, ...]
    findings: tuple[Finding, ...]
    seconds: float | None = None

    @property
    def complete(self) -> bool:
        """Whether all that is declared is there as it is declared."""
        return all(state.word == "present" for state in self.states)

    @property
    def brief(self) -> bool:
        """Whether uses have been counted for too short a time to tell of unused indexes."""
        return self.seconds is not None and self.seconds < BRIEF

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {
            "declared": [state.to_json() for state in self.states],
            "findings": [finding.to_json() for finding in self.findings],
            "statisticsSeconds": None if self.seconds is None else round(self.seconds),
        }


@dataclass(frozen=True, slots=True)
class Made:
    """What came of making some: names of those made, and of those not, why."""

    names: tuple[str, ...] = ()
    faults: dict[str, BedplateError] = field(default_factory=dict)


def look(place: Place, declared: Sequence[Index]) -> Report:
    """Return what is there, without touching anything.

    :raises DatabaseUnavailableError: when the database cannot be reached.
    """
    with place.reading() as connection:
        found = present(connection)
        known, seconds = tables(connection)
        how = states(connection, declared, found)
        ours = {index.name for index in declared}
        return Report(tuple(how), tuple(findings(connection, found, known, seconds, ours)), seconds)


def apply(
    place: Place,
    declared: Sequence[Index],
    *,
    limits: Limits | None = None,
    replace: bool = False,
    watch: Watch = lambda progress: None,
) -> Made:
    """Make what is missing or broken, one by one; what fails keeps none of the others from being made.

    :param replace: whether those that are other ones than declared are made anew, too.
    :raises BedplateError: when the database cannot be reached, or not directly, or somebody else makes indexes in it.
    """
    if place.dialect == "sqlite":
        return _apply_to_file(place, declared, replace)
    names: list[str] = []
    faults: dict[str, BedplateError] = {}
    with place.working() as connection:
        builder = Builder(place, connection, limits or Limits(), watch)
        with builder.alone():
            for state in look(place, declared).states:
                other = state.word == "different"
                if not (state.wanting or state.word == "building" or (other and replace)):
                    continue
                try:
                    builder.make(state.index, replace=other)
                except BedplateError as error:
                    faults[state.index.name] = error
                    if connection.closed or connection.invalidated:
                        break
                else:
                    names.append(state.index.name)
    return Made(tuple(names), faults)


def _apply_to_file(place: Place, declared: Sequence[Index], replace: bool) -> Made:
    names: list[str] = []
    faults: dict[str, BedplateError] = {}
    for state in look(place, declared).states:
        if state.wanting or (state.word == "different" and replace):
            try:
                with place.writing() as connection:
                    sqlite.make(connection, state.index)
            except Exception as error:
                from bedplate.database.errors import said

                faults[state.index.name] = BedplateError(f"{state.index.name} cannot be made: {said(error)}.")
            else:
                names.append(state.index.name)
    return Made(tuple(names), faults)


def measure(
    place: Place, declared: Sequence[Index], *, drop: bool = False, before: Sequence[Measured] = ()
) -> list[Measured]:
    """Ask the access path of each, with its index and without it.

    :param drop: whether one that cannot be hidden may be dropped for a moment, for which the table's readers wait.
    :param before: what was measured before they were made.
    """
    known = {one.index.name: one.without for one in before}
    found = []
    for index in declared:
        with place.reading() as connection:
            rows = measuring.rows(connection, index)
            there = any(one.name == index.name and one.valid for one in present(connection))
            timing, why = measuring.measured(connection, index)
        if not there:
            found.append(Measured(index, rows, timing, None, why))
            continue
        without = known.get(index.name)
        if without is None and timing is not None:
            without, why = _without(place, index, drop)
        found.append(Measured(index, rows, without, timing, why))
    return found


def _without(place: Place, index: Index, drop: bool) -> tuple[measuring.Timing | None, str]:
    opened = place.writing() if place.dialect == "sqlite" and drop else place.reading()
    with opened as connection, measuring.hidden(connection, index, drop=drop) as (why, waited):
        if why:
            return None, why
        try:
            return measuring.measured(connection, index, within=measuring.DROPPED if waited else None)
        finally:
            connection.rollback()
