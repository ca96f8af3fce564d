"""Addresses of databases: what people write, what drivers get, what is shown."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from bedplate.database.address import address
from bedplate.problems import BedplateError


@pytest.mark.parametrize(
    ("given", "mapped"),
    [
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql://h:5433/d", "postgresql+asyncpg://h:5433/d"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql+psycopg://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql://h/d?sslmode=require&connect_timeout=3", "postgresql+asyncpg://h/d?ssl=require&timeout=3"),
        ("postgresql://u@/d?host=/run/pg", "postgresql+asyncpg://u@/d?host=%2Frun%2Fpg"),
        ("sqlite:///a/b.db", "sqlite+aiosqlite:///a/b.db"),
        ("sqlite+aiosqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db"),
    ],
)
def test_usual_forms_get_an_asynchronous_driver(given: str, mapped: str) -> None:
    assert address(given).url == mapped


def test_the_password_is_never_shown() -> None:
    found = address("postgresql://ledger:s3cret-word@db/ledger")
    assert "s3cret-word" in found.url
    assert "s3cret-word" not in f"{found} {found!r} {found.shown}"


@pytest.mark.parametrize(
    "wrong", ["mysql://u:s3cret-word@h/d", "sqlite://", "sqlite:///:memory:", "postgresql://u:s3cret-word@h:port/d"]
)
def test_what_is_no_database_here_is_refused_with_a_mend_and_without_the_password(wrong: str) -> None:
    with pytest.raises(BedplateError) as caught:
        address(wrong)
    assert caught.value.mend
    assert "s3cret-word" not in str(caught.value)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Any = importlib.util.find_spec
    monkeypatch.setattr("bedplate.database.address.find_spec", lambda name: None if name == "asyncpg" else find(name))
    with pytest.raises(BedplateError, match=r"bedplate\[postgresql\]") as caught:
        address("postgresql://u:s3cret-word@h/d")
    assert "s3cret-word" not in str(caught.value)


def test_a_file_keeps_its_path() -> None:
    assert address("sqlite:///some/file.sqlite3").path == Path("some/file.sqlite3")
    assert address("sqlite:////tmp/a%20b.db").path == Path("/tmp/a b.db")
