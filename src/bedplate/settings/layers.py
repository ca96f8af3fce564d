"""Where settings come from: one :class:`Layer` a place, each read once, so that a snapshot is of one moment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from dotenv import dotenv_values
from pydantic import BaseModel

from bedplate.problems import Refusal
from bedplate.settings.fields import Declared

__all__ = ["CONSTRUCTOR", "ENVIRONMENTS", "Found", "Layer", "Sources", "read_secret_file"]

#: The origin of what was given in code.
CONSTRUCTOR = "constructor"

ENVIRONMENTS = ("development", "test", "staging", "production")

#: The largest secret file that is read, in bytes: a key or a certificate chain fits, a log file does not.
MAX_SECRET_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look.

    :param environ: the environment variables; those of the process by default.
    :param directory: where ``.env`` and ``bedplate.toml`` are; the working directory by default.
    :param secrets: where a container's secrets are mounted, a file each; ``BEDPLATE_SECRETS_DIR`` says otherwise.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    directory: Path = field(default_factory=Path.cwd)
    secrets: Path = Path("/run/secrets")

    @classmethod
    def none(cls) -> Sources:
        """Return sources that hold nothing, for tests that must not depend on the machine they run on."""
        nowhere = Path(os.devnull)
        return cls(environ={}, directory=nowhere, secrets=nowhere)


@dataclass(frozen=True, slots=True)
class Found:
    """A value and where it was found; ``text`` says that it is still to be decoded."""

    value: Any = field(repr=False)
    origin: str
    text: bool = False
    plain_file: bool = False


class Layer(Protocol):
    """One place that holds settings; ``dotted`` ones know them by path, the others by variable."""

    dotted: ClassVar[bool]

    def find(self, setting: Declared) -> Found | None:
        """Return what this place says of the setting, None when nothing."""
        ...

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield every variable, or dotted key, that is set here, with its origin; for the report of unknown names."""
        ...

    def files(self) -> Iterator[Path]:
        """Yield every file and directory that was looked at, whether it exists or not."""
        ...

    def faults(self) -> Iterator[Refusal]:
        """Yield what kept this place from being read."""
        ...


class Given:
    """Values given in code, nested as the sections are: a constructor's arguments, or what a reload may not change."""

    dotted: ClassVar[bool] = True

    def __init__(self, values: Mapping[str, Any], origin: str = CONSTRUCTOR) -> None:
        self._values = values
        self._origin = origin

    def find(self, setting: Declared) -> Found | None:
        node: Any = self._values
        for key in setting.path:
            if isinstance(node, Mapping) and key in node:
                node = node[key]
            elif isinstance(node, BaseModel) and key in node.model_fields_set:
                node = getattr(node, key)
            else:
                return None
        return Found(node, self._origin)

    def names(self) -> Iterator[tuple[str, str]]:
        return ((name, self._origin) for name in dotted_keys(self._values))

    def files(self) -> Iterator[Path]:
        return iter(())

    def faults(self) -> Iterator[Refusal]:
        return iter(())


class Variables:
    """Variables of the environment or of a ``.env`` file; an empty one counts as not set, as Compose leaves them."""

    dotted: ClassVar[bool] = False

    def __init__(self, values: Mapping[str, str], origin: str = "environment") -> None:
        self._values = dict(values)
        self._origin = origin
        self._file: Path | None = None
        self._faults: list[Refusal] = []

    @classmethod
    def dotenv(cls, path: Path) -> Variables:
        """Read a ``.env`` file, without substitution of ``${…}``, so that a password is what is written."""
        layer = cls({}, origin=".env")
        layer._file = path
        try:
            if path.is_file():
                values = dotenv_values(path, interpolate=False, encoding="utf-8")
                layer._values = {name: value for name, value in values.items() if value}
        except (OSError, UnicodeDecodeError) as error:
            layer._faults.append(_unreadable(".env", path, error))
        for name in ("BEDPLATE_ENV", "BEDPLATE_ENVIRONMENT", "BEDPLATE_CONFIG", "BEDPLATE_SECRETS_DIR"):
            if layer._values.pop(name, None):
                what = "is set in .env, which is read too late for it."
                layer._faults.append(Refusal(name, what, "Set it in the environment."))
        return layer

    def find(self, setting: Declared) -> Found | None:
        for name in setting.env:
            value = self._values.get(name)
            if value:
                return Found(value, f"{self._origin} {name}", text=True)
        return None

    def names(self) -> Iterator[tuple[str, str]]:
        return ((name, self._origin) for name in self._values)

    def files(self) -> Iterator[Path]:
        return iter(() if self._file is None else (self._file,))

    def faults(self) -> Iterator[Refusal]:
        return iter(self._faults)


class SecretFiles:
    """Files that hold one value each: ``NAME_FILE=/path``, or a file of the variable's name in a directory.

    A directory is what Docker, Kubernetes and systemd mount secrets as. Trailing line ends are cut.
    """

    dotted: ClassVar[bool] = False

    def __init__(self, environ: Mapping[str, str], directory: Path) -> None:
        self._environ = dict(environ)
        self._directory = directory
        self._read: dict[Path, str | None] = {}
        self._faults: dict[str, Refusal] = {}
        try:
            self._entries = {entry.name: entry for entry in directory.iterdir()} if directory.is_dir() else {}
        except OSError as error:
            self._entries = {}
            self._faults[""] = _unreadable("BEDPLATE_SECRETS_DIR", directory, error)

    def find(self, setting: Declared) -> Found | None:
        for name in setting.env:
            variable = f"{name}_FILE"
            pointed = self._environ.get(variable)
            if pointed:
                text = self._text(variable, Path(pointed))
                return None if text is None else Found(text, f"{variable}={pointed}", text=True)
            entry = self._entries.get(name) or self._entries.get(name.lower())
            if entry is not None and not entry.is_dir():
                text = self._text(name, entry)
                return None if text is None else Found(text, f"file {entry}", text=True)
        return None

    def _text(self, variable: str, path: Path) -> str | None:
        if path not in self._read:
            self._read[path] = None
            try:
                self._read[path] = read_secret_file(path)
            except ValueError as error:
                mend = "Write the value into the file, or unset the variable."
                self._faults[variable] = Refusal(variable, f"names {path}, which {error}.", mend)
        return self._read[path]

    def names(self) -> Iterator[tuple[str, str]]:
        return ((name.upper(), f"file {entry}") for name, entry in self._entries.items())

    def files(self) -> Iterator[Path]:
        yield self._directory
        yield from self._entries.values()
        yield from self._read

    def faults(self) -> Iterator[Refusal]:
        return iter(self._faults.values())


class Table:
    """``bedplate.toml``: settings by name, sections as tables, and a table an environment that wins over both."""

    dotted: ClassVar[bool] = True

    def __init__(self, path: Path, environment: str, *, required: bool = False) -> None:
        self._path = path
        self._environment = environment
        self._data: dict[str, Any] = {}
        self._faults: list[Refusal] = []
        try:
            if required or path.is_file():
                self._data = tomllib.loads(path.read_bytes().decode())
        except (OSError, UnicodeDecodeError) as error:
            self._faults.append(_unreadable("BEDPLATE_CONFIG" if required else path.name, path, error))
        except tomllib.TOMLDecodeError as error:
            self._faults.append(Refusal(path.name, f"is not TOML: {error}.", "Mend the line."))
        if "environment" in self._data:
            del self._data["environment"]
            what = "sets environment, which decides how the file is read."
            self._faults.append(Refusal(path.name, what, "Set BEDPLATE_ENV in the environment."))

    def find(self, setting: Declared) -> Found | None:
        for prefix in ((self._environment,), ()):
            node: Any = self._data
            for key in (*prefix, *setting.table):
                node = node.get(key) if isinstance(node, dict) else None
            if node is not None:
                where = f"{self._path.name} [{self._environment}]" if prefix else self._path.name
                return Found(node, f"{where} {'.'.join(setting.table)}", plain_file=True)
        return None

    def names(self) -> Iterator[tuple[str, str]]:
        for key, value in self._data.items():
            tables = value if key in ENVIRONMENTS and isinstance(value, dict) else {key: value}
            yield from ((name, self._path.name) for name in dotted_keys(tables))

    def files(self) -> Iterator[Path]:
        yield self._path

    def faults(self) -> Iterator[Refusal]:
        return iter(self._faults)


def read_secret_file(path: Path) -> str:
    """Return a file's text without trailing line ends.

    :raises ValueError: when it is missing, unreadable, empty, too large or no text; the message ends a sentence that
        begins with the file's name, and never quotes the content.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
        text = raw.decode().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or type(error).__name__}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    if len(raw) > MAX_SECRET_BYTES:
        raise ValueError(f"is larger than {MAX_SECRET_BYTES} bytes")
    if not text:
        raise ValueError("is empty")
    if "\0" in text:
        raise ValueError("holds NUL bytes")
    return text


def dotted_keys(values: Mapping[str, Any], *parents: str) -> Iterator[str]:
    """Yield the path of every key in nested mappings, inner ones after the outer."""
    for key, value in values.items():
        yield ".".join((*parents, key))
        if isinstance(value, Mapping):
            yield from dotted_keys(value, *parents, key)


def _unreadable(subject: str, path: Path, error: Exception) -> Refusal:
    reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
    return Refusal(subject, f"cannot be read from {path}: {reason}.", "Mend the file or its rights.")
