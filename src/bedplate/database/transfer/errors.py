"""What keeps a transfer from going on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bedplate.problems import BedplateError

__all__ = ["DifferenceError", "Fault", "FaultsError", "Misfit", "TransferError", "TransferRefusedError"]


class TransferError(BedplateError):
    """A transfer cannot go on; the source is as it was, and the target says that it is unfinished."""


class DifferenceError(TransferError):
    """Both sides should hold the same rows, and do not."""


class TransferRefusedError(TransferError):
    """A transfer cannot begin, and nothing has been touched.

    :ivar reasons: every reason, each a sentence or two.
    """

    def __init__(self, reasons: Sequence[str], mend: str = "") -> None:
        noun = "reason" if len(reasons) == 1 else "reasons"
        lines = "\n".join(f"  - {reason}" for reason in reasons)
        what = f"The transfer is refused for {len(reasons)} {noun}, and nothing has been touched.\n{lines}"
        super().__init__(what, f"\n{mend}" if mend else "")
        self.reasons = tuple(reasons)


class Misfit(ValueError):
    """A value that its column in the target cannot hold as it is; the text says why, without the value."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A value that does not fit: in which table, row and column, and why. The value itself is not told."""

    table: str
    row: str
    column: str
    what: str

    def __str__(self) -> str:
        return f"{self.table}, row {self.row}, column {self.column}: {self.what}."


class FaultsError(TransferError):
    """Values of the source that the target cannot hold as they are.

    :ivar faults: the first of them; ``more`` says whether there are others.
    """

    def __init__(self, faults: Sequence[Fault], more: bool) -> None:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        rest = " and more" if more else ""
        super().__init__(
            f"{len(faults)}{rest} values do not fit the columns of the target, and none was changed to fit:\n{lines}",
            "Mend them in the source, or choose another type with --type TABLE.COLUMN=TYPE, and run the same again.",
        )
        self.faults = tuple(faults)
        self.more = more
