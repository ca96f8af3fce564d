"""Reloading: new snapshots are whole, valid and swapped in one step; anything wrong keeps the last good one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from pydantic import Field, model_validator

from bedplate.problems import DeclarationError
from bedplate.settings import (
    Dsn,
    LiveSettings,
    Reloadable,
    Secret,
    Section,
    Settings,
    Sources,
)


class Limits(Section):
    queue: Annotated[int, Field(ge=1), Reloadable()] = 100
    shards: int = 4


class Ledger(Settings, env_prefix="LEDGER_"):
    page_size: Annotated[int, Field(ge=1, le=1000), Reloadable()] = 100
    smallest: int = Field(default=1, json_schema_extra={"reload": True})
    largest: int = 10
    webhook: Annotated[Secret, Reloadable()] = Secret("webhook-secret-one")
    webhook_previous: Secret | None = None

    @model_validator(mode="after")
    def in_order(self) -> Ledger:
        if self.smallest > self.largest:
            raise ValueError("LEDGER_SMALLEST is above LEDGER_LARGEST")
        return self


class Machine:
    """A configuration file and the settings that follow it."""

    def __init__(self, directory: Path, **environ: str) -> None:
        self.file = directory / "bedplate.toml"
        self.secrets = directory / "secrets"
        self.secrets.mkdir()
        self.environ = {"BEDPLATE_ENV": "test", **environ}
        self.sources = Sources(environ=self.environ, directory=directory, secrets=self.secrets)

    def write(self, text: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.file)

    def live(self) -> LiveSettings[Ledger]:
        settings = Ledger(self.sources)
        settings.section(Limits, "limits")
        return LiveSettings(settings)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class TestSnapshots:
    def test_a_change_is_a_new_snapshot_and_the_old_one_stays_as_it_was(self, machine: Machine) -> None:
        live = machine.live()
        before = live.current
        machine.write("[ledger]\npage_size = 7\n[limits]\nqueue = 8")
        assert before.page_size == 100
        result = live.reload()
        assert (result.outcome, set(result.changed), result.restart) == ("applied", {"page_size", "limits.queue"}, ())
        assert (live.current.page_size, live.current.section(Limits, "limits").queue) == (7, 8)
        assert (before.page_size, before.section(Limits, "limits").queue) == (100, 100)
        assert live.version == 2

    def test_nothing_new_keeps_the_very_same_snapshot(self, machine: Machine) -> None:
        live = machine.live()
        before = live.current
        machine.write("# only a comment")
        assert live.reload().outcome == "unchanged"
        assert live.current is before
        assert live.version == 1

    def test_what_cannot_reload_waits_and_the_rest_is_applied(self, machine: Machine) -> None:
        live = machine.live()
        machine.write("port = 9\n[ledger]\npage_size = 7\n[limits]\nqueue = 5\nshards = 9")
        result = live.reload()
        assert (result.outcome, set(result.changed)) == ("applied", {"page_size", "limits.queue"})
        assert set(result.restart) == {"port", "limits.shards"}
        limits = live.current.section(Limits, "limits")
        assert (live.current.port, live.current.page_size, limits.queue, limits.shards) == (8000, 7, 5, 4)
        assert live.current.origin("port") == "start"

    def test_only_what_waits(self, machine: Machine) -> None:
        live = machine.live()
        machine.write("port = 9")
        for _ in range(2):
            assert live.reload().outcome == "restart"
            assert live.last.restart == ("port",)
        machine.write("")
        assert live.reload().outcome == "unchanged"
        assert live.last.restart == ()

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("[ledger]\npage_size = 0", "bedplate.toml ledger.page_size"),
            ("[limits]\nqueue = 'many'", "bedplate.toml limits.queue"),
            ("[ledger]\nsmallest = 11", "Ledger"),
            ("[ledger", "bedplate.toml"),
        ],
    )
    def test_any_fault_keeps_the_last_good_snapshot_whole(self, machine: Machine, text: str, fault: str) -> None:
        live = machine.live()
        machine.write("[ledger]\npage_size = 7")
        live.reload()
        good = live.current
        machine.write("log_level = 'DEBUG'\n" + text)
        result = live.reload()
        assert (result.outcome, [item.component for item in result.faults]) == ("refused", [fault])
        assert live.current is good
        machine.write("[ledger]\npage_size = 8")
        assert live.reload().outcome == "applied"

    def test_all_faults_of_a_reload_are_listed(self, machine: Machine) -> None:
        live = machine.live()
        machine.write("port = 'x'\n[ledger]\npage_size = 0\n[limits]\nqueue = 0")
        assert len(live.reload().faults) == 3

    def test_a_fault_that_only_arises_beside_a_value_that_waits(self, machine: Machine) -> None:
        """On disk 20 to 30 is in order; with ``largest`` waiting at 10 it would not be."""
        live = machine.live()
        machine.write("[ledger]\nsmallest = 20\nlargest = 30")
        result = live.reload()
        assert (result.outcome, live.current.smallest) == ("refused", 1)

    def test_production_does_not_become_unsafe_while_running(self, tmp_path: Path) -> None:
        machine = Machine(tmp_path, BEDPLATE_ENV="production", LEDGER_WEBHOOK="Kf83hGs9-Lq2mXw7")
        live = machine.live()
        machine.write("[ledger]\npage_size = 7")
        assert live.reload().outcome == "applied"
        machine.environ["LEDGER_WEBHOOK"] = "changeme"
        result = live.reload()
        assert [fault.component for fault in result.faults] == ["LEDGER_WEBHOOK"]

    def test_constructor_values_outlive_a_reload(self, machine: Machine) -> None:
        live = LiveSettings(Ledger(machine.sources, page_size=3))
        machine.write("log_level = 'DEBUG'\n[ledger]\npage_size = 7")
        assert live.reload().changed == ("log_level",)
        assert live.current.page_size == 3


class TestSubscribers:
    def test_they_hear_what_changed_after_it_did(self, machine: Machine) -> None:
        live = machine.live()
        heard: list[tuple[int, int, frozenset[str], bool]] = []

        def listen(old: Ledger, new: Ledger, changed: frozenset[str]) -> None:
            heard.append((old.page_size, new.page_size, changed, live.current is new))

        leave = live.subscribe(listen)
        machine.write("[ledger]\npage_size = 7")
        live.reload()
        live.reload()
        leave()
        machine.write("[ledger]\npage_size = 8")
        live.reload()
        assert heard == [(100, 7, frozenset({"page_size"}), True)]

    def test_one_that_fails_keeps_nobody_from_hearing(self, machine: Machine) -> None:
        live = machine.live()
        heard: list[int] = []

        def broken(old: Ledger, new: Ledger, changed: frozenset[str]) -> None:
            raise RuntimeError(f"cannot do {new.webhook.reveal()}")

        live.subscribe(broken)
        live.subscribe(lambda old, new, changed: heard.append(new.page_size))
        machine.write("[ledger]\npage_size = 7")
        result = live.reload()
        assert heard == [7]
        assert len(result.failures) == 1
        assert result.failures[0].endswith("broken: RuntimeError")
        assert live.current.page_size == 7

    def test_concurrent_readers_never_see_half_a_change(self, machine: Machine) -> None:
        live = machine.live()
        stop, torn = threading.Event(), list[tuple[int, int]]()

        def read() -> None:
            while not stop.is_set():
                now = live.current
                pair = now.page_size, now.section(Limits, "limits").queue
                if pair[0] != pair[1]:
                    torn.append(pair)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for value in range(101, 121):
            machine.write(f"[ledger]\npage_size = {value}\n[limits]\nqueue = {value}")
            assert live.reload().outcome == "applied"
        stop.set()
        for thread in threads:
            thread.join()
        assert torn == []


class TestRotation:
    def test_a_secret_follows_its_setting(self, machine: Machine) -> None:
        (machine.secrets / "LEDGER_WEBHOOK").write_text("first-secret-here\n")
        live = machine.live()
        secret = live.rotating("webhook", overlap=60)
        assert secret.current.reveal() == "first-secret-here"
        (machine.secrets / "LEDGER_WEBHOOK").write_text("second-secret-here\n")
        result = live.reload()
        assert (result.outcome, result.changed) == ("applied", ("webhook",))
        assert secret.accepts("first-secret-here")
        assert secret.accepts("second-secret-here")
        assert live.rotating("webhook") is secret

    def test_an_emptied_file_keeps_the_secret(self, machine: Machine) -> None:
        (machine.secrets / "LEDGER_WEBHOOK").write_text("first-secret-here\n")
        live = machine.live()
        secret = live.rotating("webhook")
        (machine.secrets / "LEDGER_WEBHOOK").write_text("")
        assert [fault.component for fault in live.reload().faults] == ["LEDGER_WEBHOOK"]
        assert secret.accepts("first-secret-here")

    def test_the_predecessor_survives_a_restart(self, tmp_path: Path) -> None:
        machine = Machine(tmp_path, LEDGER_WEBHOOK="second-secret-here", LEDGER_WEBHOOK_PREVIOUS="first-secret-here")
        secret = machine.live().rotating("webhook", previous="webhook_previous")
        assert secret.accepts("first-secret-here")

    def test_new_secrets_reach_the_redactor(self, machine: Machine) -> None:
        live, heard = machine.live(), list[str]()
        live.current.on_secret(heard.append)
        machine.write("redis_url = 'redis://:never-in-force@h/0'\n[ledger]\nwebhook = 'second-secret-here'")
        live.reload()
        assert {"second-secret-here", "never-in-force"} <= set(heard)
        assert live.current.redis_url is None

    @pytest.mark.parametrize("name", ["page_size", "webhook_previous", "no_such"])
    def test_what_cannot_rotate(self, machine: Machine, name: str) -> None:
        with pytest.raises(DeclarationError):
            machine.live().rotating(name)


async def test_a_request_sees_one_snapshot(machine: Machine) -> None:
    import httpx2

    live, app = machine.live(), FastAPI()

    @app.get("/")
    def both(one: Ledger = Depends(live), two: Ledger = Depends(live)) -> list[int]:
        machine.write("[ledger]\npage_size = 7")
        live.reload()
        return [one.page_size, two.page_size, live.current.page_size]

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x") as client:
        assert (await client.get("/")).json() == [100, 100, 7]


def test_a_dsn_is_compared_by_value() -> None:
    assert Dsn("redis://:a@h") == Dsn("redis://:a@h") != Dsn("redis://:b@h")
