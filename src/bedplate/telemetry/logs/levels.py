"""Which logger says how much: the general level, a table that keeps libraries quiet, and changes at run time.

Levels live in the loggers of :mod:`logging`, so one system rules all, whoever's logger it is. A change may expire; the
level from before comes back then. Changes are shared by the processes of one host through a small file.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from bedplate.problems import BedplateError

__all__ = ["LEVELS", "OFF", "QUIET", "ROOT", "LevelChange", "LevelTable", "level_number"]

#: The levels by name.
LEVELS: Final[Mapping[str, int]] = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}

#: What libraries may say unless told otherwise; OFF is beyond CRITICAL.
OFF: Final = 60
QUIET: Final[Mapping[str, int]] = {
    # Requests are logged by the HTTP middleware, with route, trace and user.
    "uvicorn.access": OFF,
    "gunicorn.access": OFF,
    "hypercorn.access": OFF,
    # One line a request or frame that somebody else's client makes.
    "httpx": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpcore2": logging.WARNING,
    "urllib3": logging.WARNING,
    "requests": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "hpack": logging.WARNING,
    "websockets": logging.WARNING,
    "botocore": logging.WARNING,
    "boto3": logging.WARNING,
    "s3transfer": logging.WARNING,
    "openai": logging.WARNING,
    "telegram": logging.WARNING,
    "aiogram.event": logging.WARNING,
    # Databases and queues: every statement, every message.
    "sqlalchemy": logging.WARNING,
    "asyncpg": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "redis": logging.WARNING,
    "coredis": logging.WARNING,
    "alembic": logging.WARNING,  # the database says itself whose tables it changed
    "celery": logging.INFO,
    "celery.worker.strategy": logging.WARNING,
    "kombu": logging.WARNING,
    "amqp": logging.WARNING,
    "apscheduler": logging.WARNING,
    # Set-up and tools.
    "asyncio": logging.WARNING,
    "concurrent": logging.WARNING,
    "opentelemetry": logging.WARNING,
    "sentry_sdk": logging.WARNING,
    "watchfiles": logging.WARNING,
    "multipart": logging.WARNING,
    "python_multipart": logging.WARNING,
    "numba": logging.WARNING,
    "matplotlib": logging.WARNING,
    "PIL": logging.WARNING,
    "fontTools": logging.WARNING,
    "lightgbm": logging.WARNING,
}

#: The name of the logger above all others.
ROOT: Final = "root"


def level_number(level: str | int) -> int:
    """Return the number of a level given by name or number.

    :raises BedplateError: when it is none.
    """
    number = LEVELS.get(level.upper()) if isinstance(level, str) else level
    if number is None:
        raise BedplateError(f"There is no log level {level!r}.", f"Use one of {', '.join(LEVELS)}.")
    return number


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A level set at run time; ``until`` is Unix time, None for as long as the process lives."""

    logger: str
    level: int
    until: float | None = None


class LevelTable:
    """The levels of this process's loggers.

    :param shared: a file through which the processes of one host share changes; it need not exist.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self.shared = shared
        self._lock = threading.Lock()
        self._original: dict[str, int] = {}
        self._settings: dict[str, int] = {}
        self._changes: dict[str, LevelChange] = {}
        self._seen: tuple[int, int] | None = None

    @property
    def changes(self) -> list[LevelChange]:
        """What was changed at run time and still holds."""
        with self._lock:
            return list(self._changes.values())

    def install(self, level: int, levels: Mapping[str, int]) -> None:
        """Set the levels of the settings, and those of the quiet table that the settings do not name.

        Called again, it replaces them; changes made at run time stay in force.
        """
        quiet = {name: number for name, number in QUIET.items() if number > level}
        with self._lock:
            names = [*self._settings, ROOT, *quiet, *levels]
            self._settings = {ROOT: level, **quiet, **levels}
            self._set(*dict.fromkeys(names))

    def uninstall(self) -> None:
        """Give every logger the level from before."""
        with self._lock:
            self._settings, self._changes, self._seen = {}, {}, None
            self._set(*self._original)
            self._original.clear()

    def change(self, change: LevelChange) -> None:
        """Set a logger's level, for this process and through the file for its siblings."""
        with self._lock:
            self._changes[change.logger] = change
            self._set(change.logger)
            self._write()

    def reset(self, logger: str = ROOT) -> bool:
        """Take a change back; return whether there was one."""
        with self._lock:
            known = self._changes.pop(logger, None) is not None
            self._set(logger)
            self._write()
            return known

    def refresh(self, now: float) -> None:
        """Take back what has expired by Unix time ``now``, and take over what siblings changed."""
        with self._lock:
            before = self._changes
            read = self._read()
            wanted = before if read is None else read
            self._changes = {
                name: change for name, change in wanted.items() if change.until is None or change.until > now
            }
            changed = [n for n in {*before, *self._changes} if before.get(n) != self._changes.get(n)]
            self._set(*changed)

    def _set(self, *names: str) -> None:
        logger: logging.Logger | None = None
        for name in names:
            logger = logging.getLogger(None if name == ROOT else name)
            original = self._original.setdefault(name, logger.level)
            change = self._changes.get(name)
            logger.level = change.level if change is not None else self._settings.get(name, original)
        if logger is not None:
            # Each call of setLevel() empties the caches of every logger of the process: once is enough for all.
            logger.setLevel(logger.level)

    def _write(self) -> None:
        if self.shared is None:
            return
        document = [[change.logger, change.level, change.until] for change in self._changes.values()]
        temporary = self.shared.with_name(f"{self.shared.name}.{os.getpid()}")
        try:
            temporary.write_bytes(orjson.dumps(document))
            temporary.replace(self.shared)
            self._seen = _signature(self.shared)
        except OSError:
            # This process has the level that was asked for; its siblings cannot be told.
            temporary.unlink(missing_ok=True)

    def _read(self) -> dict[str, LevelChange] | None:
        if self.shared is None:
            return None
        seen = _signature(self.shared)
        if seen is None or seen == self._seen:
            return None
        self._seen = seen
        try:
            rows = orjson.loads(self.shared.read_bytes())
            return {str(name): LevelChange(str(name), int(level), until) for name, level, until in rows}
        except (OSError, ValueError, TypeError):
            return None


def _signature(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
