"""Settings of logs: standard names, and what they lead to."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bedplate.settings import Settings
from bedplate.telemetry.logs import LogSettings


def test_nothing_is_needed() -> None:
    settings = LogSettings()
    assert (settings.level, settings.app_file, settings.errors_file) == ("INFO", None, None)


def test_files_lie_in_the_directory_or_where_the_file_is(tmp_path: Path) -> None:
    settings = LogSettings(directory=tmp_path)
    assert (settings.app_file, settings.errors_file) == (tmp_path / "app.log", tmp_path / "errors.log")
    settings = LogSettings(file=tmp_path / "ledger.log")
    assert (settings.app_file, settings.errors_file) == (tmp_path / "ledger.log", tmp_path / "errors.log")


def test_levels_are_taken_in_any_case_and_others_refused() -> None:
    settings = LogSettings.model_validate({"level": "debug", "levels": {"httpx": "info"}})
    assert (settings.level, settings.levels) == ("DEBUG", {"httpx": "INFO"})
    with pytest.raises(ValidationError):
        LogSettings.model_validate({"level": "loud"})


def test_standard_variables_are_honoured_and_the_section_goes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "warning")
    monkeypatch.setenv("LOG_DIR", str(tmp_path))
    monkeypatch.setenv("BEDPLATE_LOGS__LEVELS", "httpx=INFO,app=debug")
    settings = LogSettings.of(Settings())
    assert (settings.level, settings.directory) == ("WARNING", tmp_path)
    assert settings.levels == {"httpx": "INFO", "app": "DEBUG"}
    monkeypatch.setenv("BEDPLATE_LOGS__LEVEL", "ERROR")
    assert LogSettings.of(Settings()).level == "ERROR"
    assert LogSettings.of(Settings(log_level="DEBUG")).level == "ERROR"


def test_what_the_service_sets_for_all_of_it_holds_for_its_logs() -> None:
    assert LogSettings.of(Settings(log_level="DEBUG")).level == "DEBUG"
