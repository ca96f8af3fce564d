"""Collects what does not fit, so that one run tells of many."""

from __future__ import annotations

from bedplate.database.transfer.errors import Fault, FaultsError

__all__ = ["Faults"]


class Faults:
    """The first faults, and whether there are more."""

    def __init__(self, most: int = 20) -> None:
        self.most = most
        self.found: list[Fault] = []
        self.number = 0

    def add(self, fault: Fault) -> None:
        """Note a fault."""
        self.number += 1
        if len(self.found) < self.most:
            self.found.append(fault)

    def check(self) -> None:
        """Do nothing when there is none.

        :raises FaultsError: with all that were noted.
        """
        if self.number:
            raise FaultsError(self.found, self.number > len(self.found))
