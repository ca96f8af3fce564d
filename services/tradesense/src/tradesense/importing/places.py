"""Where the fields of a mapping are in the rows of a file."""

from __future__ import annotations

from collections.abc import Sequence

from tradesense.importing.mapping import Column, Mapping

__all__ = ["Places", "plain"]


def plain(cell: str) -> str:
    """Return the name of a column as names are compared."""
    return " ".join(cell.replace("\ufeff", "").split()).lower()


class Places:
    """Where each field's cells are in a row."""

    def __init__(self, mapping: Mapping, header: Sequence[str]) -> None:
        self._header = header
        names: dict[str, int] = {}
        for number, cell in enumerate(header):
            names.setdefault(plain(cell), number)
        self._at = {
            name: tuple(place for one in mapping.columns(name) if (place := _place(one, names)) is not None)
            for name in mapping.fields
        }

    def cells(self, name: str, row: Sequence[str]) -> list[str]:
        """Return the cells of a field that are not empty."""
        return [cell for place in self._at.get(name, ()) if place < len(row) and (cell := row[place].strip())]

    def cell(self, name: str, row: Sequence[str]) -> str:
        """Return the first cell of a field that is not empty, or nothing."""
        cells = self.cells(name, row)
        return cells[0] if cells else ""

    def shown(self, name: str) -> str:
        """Return what the file calls the column of a field."""
        places = self._at.get(name, ())
        return self._header[places[0]].strip() if places and places[0] < len(self._header) else ""

    def has(self, name: str) -> bool:
        """Whether the file has such a column."""
        return bool(self._at.get(name))


def _place(one: Column, names: dict[str, int]) -> int | None:
    return next((names[name] + one.after for name in one.names if name in names), None)
