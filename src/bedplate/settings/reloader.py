"""The component that keeps settings current: it watches their sources, reloads, reports and counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bedplate.component import Environment, Host, Spec
from bedplate.declarations import Action, Actor, Routes
from bedplate.problems import Refusal
from bedplate.settings import metrics
from bedplate.settings.core import Settings
from bedplate.settings.live import LiveSettings, Reload
from bedplate.settings.markers import Seconds, Section
from bedplate.settings.rotation import SecretFile
from bedplate.settings.rules import Setting
from bedplate.settings.signals import on_hangup
from bedplate.settings.watch import Watch

__all__ = ["ReloaderSettings", "SettingsReloader"]

S = TypeVar("S", bound=Settings)


class ReloaderSettings(Section):
    """How settings are kept current."""

    interval: Annotated[Seconds, Field(gt=0)] = 5.0
    """Seconds between two looks at the files; a change is taken at the second look that sees it."""


class SettingsReloader(LiveSettings[S], Generic[S]):
    """Live settings as a component, one a service::

        live = SettingsReloader(settings, secrets=[SecretFile("/run/secrets/webhook")])
        Service("ledger", app, [live, Reports(live)])

    It looks at the files every few seconds, and takes them at once on SIGHUP and by the ``reload`` action. Every
    process of a service follows by itself.

    :param secrets: files outside of the settings that rotate as well.
    """

    def __init__(
        self, settings: S, *, secrets: Sequence[SecretFile] = (), options: ReloaderSettings | None = None
    ) -> None:
        super().__init__(settings)
        self.options = options or ReloaderSettings()
        self.secrets = tuple(secrets)
        self._host: Host | None = None
        self._counted: dict[str, tuple[int, int]] = {}

    @property
    def spec(self) -> Spec:
        """What it counts and when it asks for help."""
        return Spec(
            kind="settings",
            summary="Follows the configuration and secret files of the service while it runs.",
            settings=self.options,
            metrics=metrics.METRICS,
            alerts=metrics.ALERTS,
            panels=metrics.PANELS,
            runbook=metrics.RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Follow the files until the service stops."""
        self._host = host
        self._refreshing = asyncio.Lock()
        for secret in (*self.secrets, *self.rotating_secrets):
            secret.clock = host.clock
        self.clock = host.clock
        await asyncio.to_thread(self._first_look)
        self._show_snapshot(host)
        self._show_secrets(host)
        hangup = asyncio.Event()
        with on_hangup(hangup.set):
            host.spawn("watch", partial(self._follow, host))
            host.spawn("hangup", partial(self._obey, hangup))
            yield
        self._host = None

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Return what the settings must not be here."""
        return self.current.refusals(environment)

    def actions(self) -> Sequence[Action]:
        """Return the button that reloads now."""

        async def run(parameters: object, actor: Actor) -> dict[str, object]:
            result = await self.refresh()
            faults = [str(fault) for fault in result.faults]
            return {
                "outcome": result.outcome,
                "changed": result.changed,
                "restart": result.restart,
                "faults": faults,
                "version": self.version,
            }

        def state() -> dict[str, object]:
            return {"version": self.version}

        return (Action(name="reload", summary="Read all settings and secret files again, now.", run=run, state=state),)

    def routes(self) -> Sequence[Routes]:
        """Return the page that says what every setting is and where it comes from."""

        async def show(request: Request) -> JSONResponse:
            """Return every setting with its value, masked where it must be, and where it comes from."""
            return JSONResponse({"version": self.version, "settings": [_row(item) for item in self.current.values()]})

        return (Routes(routes=(Route("/settings", show),), access="operator"),)

    async def refresh(self) -> Reload:
        """Read settings and secrets again without waiting for files to come to rest, and report what came of it."""
        host = self._running()
        async with self._refreshing:
            return await self._take(host, now=True)

    def _running(self) -> Host:
        if self._host is None:
            raise RuntimeError("The settings component is not running: use reload() outside of a service.")
        return self._host

    def _first_look(self) -> None:
        # The settings were read some time ago and may have changed since, so the watch begins with one reading more.
        self._watch = Watch(self.current.files(), seen=())
        for secret in self.secrets:
            self.current.hide(secret.current.reveal())

    async def _follow(self, host: Host) -> None:
        while True:
            await host.clock.sleep(self.options.interval)
            async with self._refreshing:
                if await asyncio.to_thread(self._watch.look) == "changed":
                    await self._take(host, now=False)
                else:
                    await self._take_secrets(host, now=False)

    async def _obey(self, hangup: asyncio.Event) -> None:
        while True:
            await hangup.wait()
            hangup.clear()
            await self.refresh()

    async def _take(self, host: Host, *, now: bool) -> Reload:
        # Looked at before they are read: what is written meanwhile differs at the next look.
        self._watch = await asyncio.to_thread(Watch, self.current.files())
        result = self.adopt(await asyncio.to_thread(self.prepare))
        await self._take_secrets(host, now=now)
        self._report(host, result)
        return result

    async def _take_secrets(self, host: Host, *, now: bool) -> None:
        for secret in self.secrets:
            before = secret.fault
            fresh = await asyncio.to_thread(secret.look, now=now)
            if fresh is not None:
                self.current.hide(fresh.reveal())
                secret.rotate(fresh)
                host.log.info("secret_rotated", secret=secret.name, overlap_seconds=secret.overlap)
            if secret.fault and secret.fault != before:
                host.log.error("secret_unreadable", secret=secret.name, reason=secret.fault)
        self._show_secrets(host)
        self._show_state(host)

    def _report(self, host: Host, result: Reload) -> None:
        host.bind(metrics.RELOADS, outcome=result.outcome).inc()
        if result.faults:
            host.log.error("settings_refused", faults=[str(fault) for fault in result.faults])
        if result.changed:
            host.log.info("settings_applied", changed=list(result.changed), version=self.version)
        if result.restart:
            host.log.warning("settings_wait_for_restart", settings=list(result.restart))
        if result.failures:
            host.log.error("settings_subscriber_failed", failures=list(result.failures))
        if result.outcome == "unchanged":
            host.log.debug("settings_unchanged")
        if result.outcome == "applied":
            self._show_snapshot(host)
        self._show_secrets(host)
        self._show_state(host)

    def _show_snapshot(self, host: Host) -> None:
        host.bind(metrics.VERSION).set(self.version)
        host.bind(metrics.LOADED).set(host.clock.time())
        host.bind(metrics.INFO, environment=self.current.environment).set(1)
        for setting in self.current.values():
            if setting.declared.reloadable and isinstance(setting.value, (int, float, Decimal)):
                host.bind(metrics.VALUE, name=setting.name).set(float(setting.value))

    def _show_secrets(self, host: Host) -> None:
        for secret in (*self.secrets, *self.rotating_secrets):
            rotations, uses = self._counted.get(secret.name, (0, 0))
            host.bind(metrics.ROTATIONS, name=secret.name).inc(secret.rotations - rotations)
            host.bind(metrics.PREVIOUS_USES, name=secret.name).inc(secret.previous_uses - uses)
            self._counted[secret.name] = (secret.rotations, secret.previous_uses)
        for secret in self.secrets:
            host.bind(metrics.UNREADABLE, name=secret.name).set(1 if secret.fault else 0)

    def _show_state(self, host: Host) -> None:
        host.bind(metrics.SUCCESSFUL).set(0 if self.last.faults else 1)
        host.bind(metrics.WAITING).set(len(self.last.restart))
        reasons = [f"the last change was refused: {fault}" for fault in self.last.faults[:3]]
        reasons += [f"a subscriber did not take the change: {failure}" for failure in self.last.failures]
        reasons += [secret.fault for secret in self.secrets if secret.fault]
        host.degraded("; ".join(reasons) or None)


def _row(setting: Setting) -> dict[str, object]:
    declared = setting.declared
    return {
        "name": setting.name,
        "variable": declared.variable,
        "value": setting.shown,
        "origin": setting.origin,
        "default": declared.default,
        "reloadable": declared.reloadable,
        "summary": declared.doc,
    }
