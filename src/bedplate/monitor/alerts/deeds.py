"""What people did to alerts, and what they were told of them: acknowledgements, silences, deliveries.

It holds here as soon as it is done, and is written to the database with everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import orjson
from uuid_utils import uuid7

from bedplate.monitor.alerts.matching import matches
from bedplate.monitor.alerts.notices import Acknowledgement, Matcher, Notice, Sent, Silence
from bedplate.monitor.alerts.store import Shared, Write, sent_of, silence_of
from bedplate.problems import BedplateError

__all__ = ["Deeds"]

_ACKNOWLEDGEMENTS, _SILENCES = "bedplate_alert_acknowledgements", "bedplate_alert_silences"
_SENT = "bedplate_alert_notifications"


class Deeds:
    """The acknowledgements, silences and deliveries of one service. Times are Unix seconds.

    :param put: receives each row that is to be written: its table, its key, its other columns or None to delete it.
    :ivar silences: by id, ended ones included. :ivar acknowledgements: by fingerprint.
    :ivar sent: by fingerprint, then channel.
    """

    def __init__(self, service: str, put: Callable[[str, dict[str, Any], dict[str, Any] | None], None]) -> None:
        self.silences: dict[str, Silence] = {}
        self.acknowledgements: dict[str, Acknowledgement] = {}
        self.sent: dict[str, dict[str, Sent]] = {}
        self._service = service
        self._put = put

    def adopt(self, shared: Shared, waiting: Iterable[Write]) -> None:
        """Take in what the database says, and after that what waits to be written to it."""
        self.silences = dict(shared.silences)
        self.acknowledgements = dict(shared.acknowledgements)
        self.sent = {fingerprint: dict(channels) for fingerprint, channels in shared.sent.items()}
        for one in waiting:
            self.apply(one)

    def apply(self, one: Write) -> None:
        """Let a write hold here before it is in the database; those of other tables are nobody's here."""
        row: dict[str, Any] = {**one.key, **(one.values or {})}
        if one.table == _SILENCES:
            self.silences[row["id"]] = silence_of(row)
        elif one.table == _SENT:
            self.sent.setdefault(row["fingerprint"], {})[row["channel"]] = sent_of(row)
        elif one.table == _ACKNOWLEDGEMENTS and one.values is None:
            self.acknowledgements.pop(row["fingerprint"], None)
        elif one.table == _ACKNOWLEDGEMENTS:
            acknowledged = Acknowledgement(actor=row["actor"], note=row["note"], at=row["at"])
            self.acknowledgements[row["fingerprint"]] = acknowledged

    def acknowledge(self, fingerprint: str, actor: str, note: str, now: float) -> Acknowledgement:
        """Note who looks after an alert."""
        key = {"service": self._service, "fingerprint": fingerprint}
        self._put(_ACKNOWLEDGEMENTS, key, {"actor": actor, "note": note, "at": now})
        return self.acknowledgements[fingerprint]

    def end_acknowledgements(self, active: Collection[str]) -> None:
        """Drop the acknowledgements of all but these fingerprints."""
        for fingerprint in [known for known in self.acknowledgements if known not in active]:
            self._put(_ACKNOWLEDGEMENTS, {"service": self._service, "fingerprint": fingerprint}, None)

    def silence(
        self, matchers: tuple[Matcher, ...], starts: float, ends: float, actor: str, comment: str, now: float
    ) -> Silence:
        """Note a silence.

        :raises BedplateError: when it would be over already, or has no condition that rules anything out.
        """
        if ends <= max(starts, now):
            raise BedplateError("The silence would be over before it begins.", "Let it end later.")
        if matches(matchers, {}):
            raise BedplateError("The silence would match every alert.", 'Give a condition such as alertname="…".')
        made = Silence(
            id=uuid7().hex, matchers=matchers, starts=starts, ends=ends, actor=actor, comment=comment, created=now
        )
        self._put_silence(made, ends)
        return made

    def unsilence(self, id: str, now: float) -> Silence:
        """Note that a silence ends now.

        :raises BedplateError: when there is none, or it has ended.
        """
        known = self.silences.get(id)
        if known is None or known.ends <= now:
            raise BedplateError(
                f"There is no silence {id} to end.", "See which there are; it may have ended by itself."
            )
        self._put_silence(known, now)
        return self.silences[id]

    def _put_silence(self, silence: Silence, ends: float) -> None:
        parts = [(one.label, one.operator, one.value) for one in silence.matchers]
        values = {
            "matchers": orjson.dumps(parts).decode(),
            "starts": silence.starts,
            "ends": ends,
            "actor": silence.actor,
            "comment": silence.comment,
            "created": silence.created,
        }
        self._put(_SILENCES, {"service": self._service, "id": silence.id}, values)

    def note_sent(self, notice: Notice, channel: str, now: float) -> None:
        """Note what a channel was told."""
        before = self.sent.get(notice.fingerprint, {}).get(channel)
        again = before is not None and (before.episode, before.status) == (notice.episode, notice.status)
        key = {"service": self._service, "fingerprint": notice.fingerprint, "channel": channel}
        times = before.times + 1 if before is not None and again else 1
        self._put(_SENT, key, {"status": notice.status, "episode": notice.episode, "at": now, "times": times})
