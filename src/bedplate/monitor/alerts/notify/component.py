"""The component that tells people of alerts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from bedplate.component import Component, Environment, Host, Spec
from bedplate.declarations import Action, Actor
from bedplate.degradation import Degradation
from bedplate.monitor.alerts.notices import Notices, Transition
from bedplate.monitor.alerts.notify.alertmanager import AlertmanagerChannel
from bedplate.monitor.alerts.notify.channels import Channel, DeliveryError, channels_of, faults_of
from bedplate.monitor.alerts.notify.courier import Courier, Handover, Recorder
from bedplate.monitor.alerts.notify.heartbeat import Heartbeat
from bedplate.monitor.alerts.notify.message import Links, test_message
from bedplate.monitor.alerts.notify.metrics import ALERTS, FAILED, METRICS, PANELS, SENT
from bedplate.monitor.alerts.notify.settings import NotifySettings
from bedplate.monitor.runbooks import runbook
from bedplate.problems import BedplateError, Refusal
from bedplate.settings.secret import Secret
from bedplate.telemetry.redaction import Redactor

__all__ = ["Alerting", "Notifier"]

_RUNBOOK = runbook(__file__)

#: Seconds between two looks at what is to be told; a transition in this process wakes it before that.
_TICK = 3.0
#: Failures of a channel in a row after which the component says that it is degraded.
_TROUBLE = 3
#: Alerts are evaluated if one was within so many intervals and so many seconds.
_OVERDUE, _SLACK = 3.0, 30.0


class Evaluated(Protocol):
    """A rule of the engine."""

    @property
    def interval(self) -> float:
        """Seconds between two evaluations."""
        ...

    @property
    def evaluated_at(self) -> float | None:
        """When it was evaluated last in this process, Unix seconds; None if it never was."""
        ...


class Alerting(Component, Notices, Protocol):
    """The alert engine as a component; :class:`~bedplate.monitor.alerts.component.Alerts` is it."""

    @property
    def active(self) -> bool:
        """Whether it runs in this process; one of a host is enough."""
        ...

    def rules(self) -> Sequence[Evaluated]:
        """Return the rules of the service with what became of them in this process."""
        ...


class TestNotification(BaseModel):
    """Whom to send a message that only shows that messages arrive."""

    model_config = ConfigDict(extra="forbid")

    channel: str = Field(default="", description="The channel's name, such as slack; all of them when empty.")


class Notifier:
    """Tells people of alerts: by Apprise, through Alertmanager, and by a heartbeat whose end somebody else tells of.

    One of all instances does it at a time, which :meth:`Notices.sending` decides. What was told is noted in the
    service's database, so that a restart neither forgets nor repeats it.

    :param alerts: the engine. :param redactor: takes secrets out of what targets say.
    :param links: gives the addresses that messages hold.
    :param channels: those who are told besides the targets of the settings.
    """

    def __init__(
        self,
        settings: NotifySettings | None = None,
        *,
        alerts: Alerting,
        redactor: Redactor | None = None,
        links: Links | None = None,
        channels: Sequence[Channel] = (),
    ) -> None:
        self.settings = settings or NotifySettings()
        self._alerts = alerts
        self._redactor = redactor or Redactor()
        self._links = links
        self._channels: list[Channel] = [
            *channels_of(self.settings.notify_urls, self.settings.notify_timeout),
            *channels,
        ]
        self._alertmanagers = [
            AlertmanagerChannel(
                "alertmanager" if number == 1 else f"alertmanager-{number}",
                url,
                resend=self.settings.alertmanager_resend,
                timeout=self.settings.notify_timeout,
                links=links,
            )
            for number, url in enumerate(self.settings.alertmanager_urls, 1)
        ]
        self._hide()
        self._host: Host | None = None
        self._events: set[asyncio.Event] = set()
        self._spec = Spec(
            kind="notifier",
            summary="Tells people of alerts, once each, until they know.",
            needs=(alerts,),
            settings=self.settings,
            scope="cluster",
            degradation=Degradation(
                policy="queue",
                summary="Alerts that a channel does not take are kept and told, oldest first, once it does.",
            ),
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of all who are told; none is a secret."""
        return (*(channel.name for channel in self._channels), *(channel.name for channel in self._alertmanagers))

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Return why nobody could be told: Apprise is not installed, or does not know a target."""
        return [Refusal("notifier", what, mend) for what, mend in faults_of(self.settings.notify_urls)]

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Tell people while inside."""
        self._host = host
        forget = self._alerts.subscribe(self._wake)
        if self._alerts.active and (self.channels or self.settings.heartbeat_url is not None):
            host.spawn("deliver", self._deliver, lease=self._alerts.sending())
        try:
            yield
        finally:
            forget()
            self._host = None

    def actions(self) -> Sequence[Action]:
        """Return the button that shows whether messages arrive."""
        return (
            Action(
                name="test-notification",
                summary="Send a message to one channel or to all, to see whether messages arrive.",
                run=self._test,
                parameters=TestNotification,
                refused=lambda: None if self._channels else "Nobody is told: set BEDPLATE_ALERTS__NOTIFY_URLS.",
            ),
        )

    async def _test(self, parameters: TestNotification, actor: Actor) -> dict[str, Any]:
        host = self._host
        assert host is not None
        chosen = [channel for channel in self._channels if parameters.channel in ("", channel.name)]
        if not chosen:
            known = ", ".join(channel.name for channel in self._channels)
            raise BedplateError(f"There is no channel {parameters.channel!r}.", f"There are: {known}.")
        message = test_message(host.service, actor.name, host.clock.time())

        async def send(channel: Channel) -> dict[str, Any]:
            try:
                await channel.send(message)
            except DeliveryError as error:
                host.bind(FAILED, channel=channel.name).inc()
                return {"channel": channel.name, "delivered": False, "error": self._redactor.text(str(error))}
            host.bind(SENT, channel=channel.name, kind="test").inc()
            return {"channel": channel.name, "delivered": True}

        return {"notice": message.id, "channels": list(await asyncio.gather(*map(send, chosen)))}

    async def _deliver(self) -> None:
        """Serve all channels, for as long as the lease is ours."""
        host = self._host
        assert host is not None
        couriers = [
            Courier(
                channel,
                self._alerts,
                host,
                repeat=self.settings.notify_repeat,
                clean=self._redactor.text,
                links=self._links,
            )
            for channel in self._channels
        ]
        handovers = [
            Handover(channel, self._alerts, host, Recorder(host, channel.name, self._redactor.text))
            for channel in self._alertmanagers
        ]
        every: list[Courier | Handover] = [*couriers, *handovers]
        recorders = [each.recorder for each in every]
        for recorder in recorders:
            host.bind(FAILED, channel=recorder.channel)  # counters begin at 0, so that the first failure is an increase
        try:
            async with asyncio.TaskGroup() as group:
                for each in every:
                    group.create_task(self._serve(each, recorders, host))
                if self.settings.heartbeat_url is not None:
                    heartbeat = Heartbeat(
                        self.settings.heartbeat_url,
                        host,
                        alive=self._evaluates,
                        interval=self.settings.heartbeat_interval,
                        timeout=self.settings.notify_timeout,
                    )
                    group.create_task(heartbeat.run())
        finally:
            for recorder in recorders:
                recorder.waiting(0, 0.0)  # whoever has the lease next says what waits

    async def _serve(self, courier: Courier | Handover, recorders: Sequence[Recorder], host: Host) -> None:
        event = asyncio.Event()
        self._events.add(event)
        try:
            while True:
                event.clear()
                try:
                    await courier.deliver()
                except Exception as error:
                    # One channel that breaks must not keep the others from being told.
                    courier.recorder.failed(error)
                    host.log.exception("notification_broken", channel=courier.recorder.channel)
                self._judge(recorders, host)
                await _either(event, host.clock.sleep(_TICK))
        finally:
            self._events.discard(event)

    def _judge(self, recorders: Sequence[Recorder], host: Host) -> None:
        deaf = [recorder for recorder in recorders if recorder.failures >= _TROUBLE]
        host.degraded("; ".join(recorder.error for recorder in deaf) or None)

    def _wake(self, transition: Transition) -> None:
        for event in self._events:
            event.set()

    async def _evaluates(self) -> bool:
        """Say whether alerts are evaluated: the engine tells what it knows, and what it evaluates here is not old."""
        host = self._host
        try:
            await self._alerts.notices()
        except Exception:
            return False
        rules = [rule for rule in self._alerts.rules() if rule.evaluated_at is not None]
        if host is None or not rules:
            return host is not None  # it has just started, or another instance evaluates for all
        latest = max(rule.evaluated_at for rule in rules if rule.evaluated_at is not None)
        return host.clock.time() - latest <= _OVERDUE * min(rule.interval for rule in rules) + _SLACK

    def _hide(self) -> None:
        secrets: list[Secret] = [*self.settings.notify_urls, *self.settings.alertmanager_urls]
        if self.settings.heartbeat_url is not None:
            secrets.append(self.settings.heartbeat_url)
        for secret in secrets:
            for text in secret.hidden():
                if text:
                    self._redactor.add_secret(text)


async def _either(event: asyncio.Event, sleeping: Awaitable[None]) -> None:
    """Wait until something has happened or the time is over."""
    tasks = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(sleeping)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
