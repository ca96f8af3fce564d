"""What can be set about logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field

from bedplate.settings import Env, Reloadable, Seconds, Section, Settings

__all__ = ["Level", "LogSettings"]

_MIB = 1024 * 1024


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _upper_values(value: object) -> object:
    return {name: _upper(level) for name, level in value.items()} if isinstance(value, dict) else value


Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]


class LogSettings(Section):
    """Settings of :class:`~bedplate.telemetry.logs.Logs`."""

    level: Annotated[Level, Env("LOG_LEVEL"), Reloadable()] = "INFO"
    """The least severe records that are logged."""

    levels: Annotated[dict[str, Level], BeforeValidator(_upper_values)] = Field(default={})
    """Levels of single loggers and of all below them, ``httpx=INFO,ledger.reports=DEBUG``; they go before the built-in
    table that keeps libraries quiet."""

    format: Literal["auto", "json", "console"] = "auto"
    """How the stream looks: JSON lines, or coloured text for people; ``auto`` is text in development on a terminal.
    Files are always JSON."""

    stream: Literal["stderr", "stdout", "off"] = "stderr"
    """The standard stream that records are written to."""

    directory: Annotated[Path | None, Env("LOG_DIR")] = None
    """Where ``app.log`` and, with errors alone, ``errors.log`` are kept; none by default."""

    file: Annotated[Path | None, Env("LOG_FILE")] = None
    """The file in the place of ``app.log``; ``errors.log`` lies beside it unless ``directory`` says otherwise."""

    max_bytes: Annotated[int, Field(ge=4096)] = 50 * _MIB
    """Bytes from which a file is rotated."""

    backups: Annotated[int, Field(ge=0, le=100)] = 5
    """Rotated files that are kept: ``app.log.1`` is the newest. With 0 the file is emptied."""

    message_limit: Annotated[int, Field(ge=256)] = 16_384
    """Characters that a message or a field keeps; what is cut is counted in its place."""

    flush_interval: Annotated[Seconds, Field(gt=0, le=5)] = 0.1
    """Seconds after which a record is written at the latest; errors are written at once."""

    flush_bytes: Annotated[int, Field(ge=1024)] = 262_144
    """Bytes that are collected before they are written earlier than that."""

    backlog_bytes: Annotated[int, Field(ge=65_536)] = 16 * _MIB
    """Bytes that wait for a stuck output; beyond them records are dropped and counted."""

    tail_records: Annotated[int, Field(ge=0)] = 5_000
    """Records kept in memory for the management API."""

    tail_bytes: Annotated[int, Field(ge=0)] = 4 * _MIB
    """Bytes kept in memory for the management API."""

    secret_keys: tuple[str, ...] = ()
    """Further names of fields whose values are secrets, besides ``password``, ``token``, ``cookie`` and the like."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the section ``logs`` of the settings, completed by ``log_level``, ``log_file`` and ``log_dir``.

        :raises SettingsError: with every fault of the section.
        """
        section = settings.section(cls, "logs")
        general = {"level": settings.log_level, "file": settings.log_file, "directory": settings.log_dir}
        unset = {name: value for name, value in general.items() if settings.origin(f"logs.{name}") == "default"}
        return section.model_copy(update=unset)

    @property
    def app_file(self) -> Path | None:
        """The file of all records, None for none."""
        return self.file if self.file is not None else self.directory and self.directory / "app.log"

    @property
    def errors_file(self) -> Path | None:
        """The file of errors, None for none."""
        directory = self.directory or (self.file and self.file.parent)
        return directory and directory / "errors.log"
