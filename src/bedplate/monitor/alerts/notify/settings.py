"""Settings of who is told of alerts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, SecretStr
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from bedplate.declarations import Severity
from bedplate.monitor.alerts.settings import AlertSettings
from bedplate.settings.markers import Env, Issued, Seconds, Section
from bedplate.settings.secret import MASK, Dsn, Secret, schemes

__all__ = ["AlertingSettings", "NotifySettings", "SecretUrl", "Target"]

_ENTRY = re.compile(r"(?:(critical|warning|info)=)?([A-Za-z][A-Za-z0-9+.-]*)://(\S+)\Z")
_PIECES = re.compile(r"[/:@?&=,#;]+")
_TOKEN = re.compile(r"(?=.*[A-Za-z])(?=.*\d).{8,}\Z|.{20,}\Z")


class SecretUrl(Secret):
    """An address of which any part may be a secret, as tokens in paths are; only its scheme is shown."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = super().__get_pydantic_core_schema__(source, handler)
        return no_info_after_validator_function(cls._checked, schema)

    def _checked(self) -> SecretUrl:
        if not re.match(r"https?://[^/\s]+\S*\Z", self.reveal()):
            raise ValueError("is not a URL: write https://host/…")
        return self

    @property
    def url(self) -> str:
        """The address itself."""
        return self.reveal()

    def hidden(self) -> Iterator[str]:
        """Yield the address, its password, and the parts that look like tokens and not like words."""
        yield self.reveal()
        rest = self.url.partition("://")[2]
        user, _, host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
        password = user.partition(":")[2]
        yield from {password, unquote(password)} - {""}
        for piece in _PIECES.split(rest):
            if _TOKEN.match(piece) and not (piece in host and "." in piece):
                yield piece
                yield unquote(piece)

    def _display(self) -> str:
        return f"{urlsplit(self.url).scheme}://{MASK}"


class Target(SecretUrl):
    """One that is told, as an Apprise URL, with the least severity that it is told of: ``critical=slack://…``."""

    def _checked(self) -> Target:
        if not _ENTRY.match(self.reveal()):
            raise ValueError("is no target: write scheme://… as Apprise does, or critical=scheme://…")
        return self

    @property
    def least(self) -> Severity:
        """The least severity that it is told of."""
        match = _ENTRY.match(self.reveal())
        severity: Severity = match[1] if match is not None and match[1] else "info"  # type: ignore[assignment]
        return severity

    @property
    def scheme(self) -> str:
        """What kind of target it is, ``slack``; no secret."""
        return self.url.partition("://")[0].lower()

    @property
    def url(self) -> str:
        """The Apprise URL itself."""
        match = _ENTRY.match(self.reveal())
        return f"{match[2]}://{match[3]}" if match is not None else self.reveal()

    def _display(self) -> str:
        return f"{self.least}={self.scheme}://{MASK}"


def _targets(value: object) -> tuple[object, ...]:
    """Return the entries of a list: separated by commas, white space or lines, or one an item.

    An Apprise URL may hold commas (``mailto://…?to=a,b``), at which variables are split: what has no ``://`` belongs
    to the entry before.
    """
    entries: list[object] = []
    for entry in _entries(value):
        if isinstance(entry, str) and "://" not in entry and entries and isinstance(entries[-1], str):
            entries[-1] += f",{entry}"
        else:
            entries.append(entry)
    return tuple(entries)


def _entries(value: object) -> Iterator[object]:
    if isinstance(value, SecretStr) and not isinstance(value, Target):
        value = value.get_secret_value()
    if isinstance(value, str):
        for line in value.splitlines():
            if not line.lstrip().startswith("#"):
                yield from (entry.strip(",") for entry in line.split() if entry.strip(","))
    elif isinstance(value, Iterable):
        for item in value:
            yield from _entries(item)
    else:
        yield value


class NotifySettings(Section):
    """Who is told of alerts, how often, and who hears that the service is alive."""

    notify_urls: Annotated[tuple[Target, ...], BeforeValidator(_targets), Issued()] = ()
    """Who is told, as Apprise URLs (``slack://``, ``mailtos://``, ``tgram://``, ``json://`` …) with white space
    between, each perhaps with the least severity it is told of: ``critical=tgram://…``. Needs the extra ``notify``."""

    notify_repeat: Annotated[Seconds, Field(ge=60)] = 4 * 3600.0
    """How often people are told again of an alert that fires and that nobody has acknowledged."""

    notify_timeout: Annotated[Seconds, Field(gt=0, le=300)] = 15.0
    """Seconds that a target has to take a message."""

    alertmanager_urls: Annotated[
        tuple[Annotated[Dsn, schemes("http", "https")], ...], Env("ALERTMANAGER_URL"), Issued()
    ] = ()
    """Alertmanagers that are told of everything that fires, each of a cluster by its own address."""

    alertmanager_resend: Annotated[Seconds, Field(ge=1, le=3600)] = 60.0
    """How often an Alertmanager hears that an alert still fires; after four times that without a word it takes it for
    resolved."""

    runbook_url: str = ""
    """Where people reach the rendered runbooks, ``https://ops.example/runbooks``; messages point into them. Without it
    they point into the console."""

    heartbeat_url: Annotated[SecretUrl | None, Issued()] = None
    """An address that is asked for every minute while alerts are evaluated; whoever is behind it tells people when that
    stops."""

    heartbeat_interval: Annotated[Seconds, Field(ge=1, le=3600)] = 60.0
    """Seconds between two heartbeats."""


class AlertingSettings(AlertSettings, NotifySettings):
    """Alerts: how they are evaluated and remembered, and who is told of them; the section ``alerts``."""

    @property
    def engine(self) -> AlertSettings:
        """The part of whoever evaluates."""
        return AlertSettings.model_construct(**{name: getattr(self, name) for name in AlertSettings.model_fields})

    @property
    def notifier(self) -> NotifySettings:
        """The part of whoever tells."""
        return NotifySettings.model_construct(**{name: getattr(self, name) for name in NotifySettings.model_fields})
