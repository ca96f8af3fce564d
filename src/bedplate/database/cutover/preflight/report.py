"""What a look before a cutover found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from bedplate.database.cutover.plan import Plan

__all__ = ["Estimate", "Finding", "Preflight", "Severity"]

Severity = Literal["blocker", "warning", "note"]

_ORDER: dict[Severity, int] = {"blocker": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know before a cutover.

    :ivar severity: a ``blocker`` refuses the cutover, a ``warning`` costs something, a ``note`` is to be known.
    :ivar code: what kind of finding it is, for programs. :ivar table: in full.
    :ivar what: what was found, a sentence. :ivar cost: what will come of it. :ivar mend: what to do about it.
    """

    severity: Severity
    code: str
    table: str
    what: str
    cost: str
    mend: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What moving one table will take, roughly.

    :ivar rows: as the planner believes. :ivar size: bytes of the table now, with its indexes.
    :ivar disk: bytes more while both are there. :ivar wal: bytes of WAL that the backfill writes.
    :ivar seconds: of the backfill, unthrottled, from the rates that were measured on two cores.
    :ivar lock: milliseconds that the switch holds its lock for, as measured; :ivar locks: how many it takes.
    """

    table: str
    rows: int
    size: int
    disk: int
    wal: int
    seconds: float
    lock: float
    locks: int


@dataclass(frozen=True, slots=True)
class Preflight:
    """All findings, the worst first, and the estimates by table."""

    cutover: Plan
    findings: tuple[Finding, ...]
    estimates: tuple[Estimate, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing refuses the cutover."""
        return not any(finding.severity == "blocker" for finding in self.findings)

    @classmethod
    def of(cls, cutover: Plan, findings: list[Finding], estimates: list[Estimate]) -> Preflight:
        """Put the worst first."""
        ordered = sorted(findings, key=lambda one: _ORDER[one.severity])
        return cls(cutover, tuple(ordered), tuple(estimates))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "ready": self.ready,
            "tables": list(self.cutover.tables),
            "key": self.cutover.key,
            "partitions": self.cutover.partitions,
            "findings": [asdict(finding) for finding in self.findings],
            "estimates": [asdict(estimate) for estimate in self.estimates],
        }
