"""Levels: the settings', the quiet table, changes that expire and that siblings share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bedplate.problems import BedplateError
from bedplate.telemetry.logs.levels import OFF, LevelChange, LevelTable, level_number


def level_of(name: str) -> int:
    return logging.getLogger(name).level


@pytest.fixture
def table() -> Iterator[LevelTable]:
    table = LevelTable()
    yield table
    table.uninstall()


def test_levels_have_names_and_numbers() -> None:
    assert level_number("info") == 20
    assert level_number(35) == 35
    with pytest.raises(BedplateError, match="Use one of DEBUG, INFO"):
        level_number("LOUD")


def test_libraries_are_quiet_unless_told_otherwise(table: LevelTable) -> None:
    before = {name: level_of(name) for name in ("root", "httpx", "uvicorn.access", "app.x")}
    table.install(logging.INFO, {"httpx": logging.DEBUG, "app.x": logging.ERROR})
    assert [level_of(name) for name in ("root", "httpx", "urllib3", "app.x")] == [20, 10, 30, 40]
    assert level_of("uvicorn.access") == OFF
    table.uninstall()
    assert {name: level_of(name) for name in before} == before


def test_a_general_level_above_the_quiet_table_wins(table: LevelTable) -> None:
    table.install(logging.ERROR, {})
    assert not logging.getLogger("httpx").isEnabledFor(logging.WARNING)


def test_a_change_expires_and_the_level_from_before_comes_back(table: LevelTable) -> None:
    table.install(logging.INFO, {"app.y": logging.ERROR})
    table.change(LevelChange("app.y", logging.DEBUG, until=100.0))
    table.change(LevelChange("root", logging.WARNING))
    table.refresh(now=99.0)
    assert (level_of("app.y"), level_of("root")) == (10, 30)
    table.refresh(now=100.0)
    assert (level_of("app.y"), level_of("root")) == (40, 30)
    assert table.changes == [LevelChange("root", logging.WARNING)]
    assert table.reset("root") is True
    assert table.reset("root") is False
    assert level_of("root") == 20


def test_reloaded_settings_apply_below_what_was_changed(table: LevelTable) -> None:
    table.install(logging.INFO, {"app.z": logging.ERROR})
    table.change(LevelChange("root", logging.DEBUG))
    table.install(logging.WARNING, {})
    assert (level_of("root"), level_of("app.z")) == (10, 0)
    table.reset("root")
    assert level_of("root") == 30


def test_siblings_share_changes_through_the_file(tmp_path: Path, table: LevelTable) -> None:
    # Both tables rule the loggers of this process; what is shared is what each knows.
    path = tmp_path / "levels.json"
    one, other = LevelTable(path), LevelTable(path)
    one.change(LevelChange("app.shared", 10, until=200.0))
    assert other.changes == []
    other.refresh(now=100.0)
    assert other.changes == [LevelChange("app.shared", 10, until=200.0)]
    other.reset("app.shared")
    one.refresh(now=101.0)
    assert one.changes == []
    one.uninstall()
    other.uninstall()


@pytest.mark.parametrize("content", [b"", b"{", b"[[1]]", b'{"a":1}', b"[1]"])
def test_a_broken_file_is_passed_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "levels.json"
    path.write_bytes(content)
    table = LevelTable(path)
    table.refresh(now=1.0)
    assert table.changes == []


def test_a_file_that_cannot_be_written_does_not_keep_the_level_from_changing(tmp_path: Path) -> None:
    table = LevelTable(tmp_path / "gone" / "levels.json")
    table.change(LevelChange("app.alone", 10))
    assert level_of("app.alone") == 10
    table.uninstall()
