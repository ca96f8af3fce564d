"""The component that reloads: what it watches, does, counts and shows."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from bedplate.declarations import Actor
from bedplate.settings import (
    Reloadable,
    Secret,
    SecretFile,
    Settings,
    SettingsReloader,
    Sources,
)
from bedplate.settings.metrics import METRICS, RUNBOOK, VALUE
from bedplate.settings.signals import on_hangup
from bedplate.testing import ManualClock, check_component, running


class Ledger(Settings, env_prefix="LEDGER_"):
    page_size: Annotated[int, Field(ge=1, le=1000), Reloadable()] = 100
    webhook: Annotated[Secret, Reloadable()] = Secret("webhook-secret-one")


class Machine:
    """A configuration file and the settings that follow it."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "bedplate.toml"
        self.sources = Sources(environ={"BEDPLATE_ENV": "test"}, directory=directory, secrets=directory / "none")

    def write(self, text: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.file)

    def reloader(self, *secrets: SecretFile) -> SettingsReloader[Ledger]:
        return SettingsReloader(Ledger(self.sources), secrets=secrets)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class TestComponent:
    async def test_it_takes_a_change_from_the_file(self, machine: Machine) -> None:
        reloader, clock = machine.reloader(), ManualClock()
        async with running(reloader, clock=clock) as harness:
            assert await harness.value(VALUE, name="page_size") == 100
            machine.write("[ledger]\npage_size = 7")

            async def taken() -> bool:
                await clock.advance(5)
                return reloader.current.page_size == 7

            await harness.eventually(taken)
            assert await harness.value(VALUE, name="page_size") == 7
            assert await harness.value("bedplate_settings_version") == 2
            assert await harness.value('bedplate_settings_reloads_total{outcome="applied"}') == 1

    async def test_a_change_between_reading_and_starting_is_not_lost(self, machine: Machine) -> None:
        reloader, clock = machine.reloader(), ManualClock()
        machine.write("[ledger]\npage_size = 7")
        async with running(reloader, clock=clock) as harness:

            async def taken() -> bool:
                await clock.advance(5)
                return reloader.current.page_size == 7

            await harness.eventually(taken)

    async def test_a_refused_change_shows_everywhere_until_it_is_mended(self, machine: Machine) -> None:
        reloader = machine.reloader()
        async with running(reloader) as harness:

            def state() -> tuple[str, str]:
                view = next(view for view in harness.service.views if view.component is reloader)
                return view.state, view.reason

            machine.write("[ledger]\npage_size = 0")
            assert (await reloader.refresh()).outcome == "refused"
            assert await harness.value("bedplate_settings_last_reload_successful") == 0
            assert state()[0] == "degraded"
            assert "ledger.page_size" in state()[1]
            machine.write("port = 9")
            assert (await reloader.refresh()).outcome == "restart"
            assert await harness.value("bedplate_settings_last_reload_successful") == 1
            assert await harness.value("bedplate_settings_waiting_for_restart") == 1
            assert state() == ("running", "")

    async def test_secret_files_rotate_and_their_faults_show(self, machine: Machine, tmp_path: Path) -> None:
        path = tmp_path / "partner"
        path.write_text("first-secret-here")
        secret = SecretFile(path)
        reloader = machine.reloader(secret)
        heard: list[str] = []
        reloader.current.on_secret(heard.append)
        async with running(reloader) as harness:
            assert "first-secret-here" in heard
            path.write_text("second-secret-here")
            await reloader.refresh()
            assert secret.accepts("first-secret-here")
            assert secret.current.reveal() == "second-secret-here"
            assert "second-secret-here" in heard
            path.write_text("")
            await reloader.refresh()
            assert await harness.value('bedplate_settings_secret_rotations_total{name="partner"}') == 1
            assert await harness.value('bedplate_settings_secret_previous_uses_total{name="partner"}') == 1
            assert await harness.value('bedplate_settings_secret_unreadable{name="partner"}') == 1

    async def test_the_action_reloads_and_says_what_came_of_it(self, machine: Machine) -> None:
        reloader = machine.reloader()
        async with running(reloader):
            machine.write("port = 9\n[ledger]\npage_size = 7")
            (action,) = reloader.actions()
            result = await action.run(None, Actor("ann", "operator"))
        assert result == {
            "outcome": "applied",
            "changed": ("page_size",),
            "restart": ("port",),
            "faults": [],
            "version": 2,
        }

    async def test_the_page_shows_origins_and_no_secrets(self, machine: Machine) -> None:
        import json

        from starlette.requests import Request

        machine.write("[ledger]\nwebhook = 'first-secret-here'\npage_size = 7")
        (routes,) = machine.reloader().routes()
        (route,) = routes.routes
        response = await route.endpoint(Request({"type": "http"}))  # type: ignore[attr-defined]
        rows = {row["name"]: row for row in json.loads(response.body)["settings"]}
        assert rows["page_size"]["origin"] == "bedplate.toml ledger.page_size"
        assert rows["webhook"]["value"] == "**********"
        assert "first-secret-here" not in response.body.decode()
        assert routes.access == "operator"

    async def test_hangup_reloads(self, machine: Machine) -> None:
        reloader = machine.reloader()
        async with running(reloader) as harness:
            machine.write("[ledger]\npage_size = 7")
            os.kill(os.getpid(), signal.SIGHUP)
            await harness.eventually(lambda: reloader.current.page_size == 7)

    async def test_it_conforms(self, machine: Machine) -> None:
        settings = Ledger(machine.sources)
        await check_component(lambda: SettingsReloader(settings))

    def test_every_alert_has_a_runbook_section_and_uses_declared_metrics(self, machine: Machine) -> None:
        spec = machine.reloader().spec
        assert {alert.name for alert in spec.alerts} == set(RUNBOOK.sections())
        for alert in spec.alerts:
            assert any(metric.name in alert.expr for metric in METRICS)


class TestHangup:
    @pytest.fixture(autouse=True)
    def restored(self) -> Iterator[None]:
        before = signal.getsignal(signal.SIGHUP)
        yield
        signal.signal(signal.SIGHUP, before)

    async def test_listeners_share_the_signal_in_any_order_of_leaving(self) -> None:
        heard: list[str] = []
        signal.signal(signal.SIGHUP, lambda *_: heard.append("before"))
        first, second = on_hangup(lambda: heard.append("first")), on_hangup(lambda: heard.append("second"))
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.01)
        assert sorted(heard) == ["before", "second"]
        second.__exit__(None, None, None)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.01)
        assert heard.count("before") == 2
        assert heard.count("second") == 1

    def test_outside_the_main_thread_it_does_nothing(self) -> None:
        before, done = signal.getsignal(signal.SIGHUP), list[bool]()

        def other() -> None:
            with on_hangup(lambda: None):
                done.append(signal.getsignal(signal.SIGHUP) is before)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert done == [True]
