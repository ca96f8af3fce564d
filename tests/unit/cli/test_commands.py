"""What commands say, and with which status they end, when something is wrong with what they are given."""

from __future__ import annotations

import importlib
import json
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bedplate.cli.main import app
from bedplate.monitor.auth.tokens import TokenTable, parse_tokens
from bedplate.service.sockets import listen

MODULE = """
from contextlib import asynccontextmanager
from bedplate import Process, Service, Settings, Spec

class Part:
    def __init__(self, kind="part", *needs):
        self.kind, self.needs = kind, needs

    @property
    def spec(self):
        return Spec(kind=self.kind, summary="A part.", needs=self.needs)

    @asynccontextmanager
    async def lifespan(self, host):
        yield

def build(settings: Settings): return Service("shop", None, [Part()], settings=settings)
def two(settings, other): return Service("shop")
def keyword(*, settings): return Service("shop")
async def later(settings): return Service("shop")
def nothing(settings): return None
def empty(settings): return Process([])
def misnamed(settings): return Service("My Shop")
def text(settings): return Service("shop", None, "redis")
def alone(settings): return Service("shop", None, Part())
def wrong_app(settings): return Service("shop", "app")
def a_class(settings): return Service("shop", None, [Part])
def twins(settings): return Service("shop", None, [Part(), Part()])
def broken(settings): return Service("shop", None, [Part("no noun!")])

def circle(settings):
    first = Part("first")
    second = Part("second", first)
    first.needs = (second,)
    return Service("shop", None, [first])

ready = Service("ready")
number = 3
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "shop_for_commands.py").write_text(MODULE)
    (tmp_path / "needy.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)
    sys.modules.pop("shop_for_commands", None)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("shop_for_commands", 2, "is not module:attribute"),
        (":build", 2, "is not module:attribute"),
        ("..shop:build", 2, "is a file, not a module"),
        ("shop_for_commands.py:build", 2, "is a file, not a module"),
        ("nowhere:build", 2, "There is no module 'nowhere'"),
        ("shop_for_commands:buidl", 2, "has no 'buidl'"),
        ("shop_for_commands:number", 2, "is a int, neither a service nor a factory"),
        ("shop_for_commands:two", 2, "cannot be called with the settings alone: missing a required argument: 'other'"),
        ("shop_for_commands:keyword", 2, "cannot be called with the settings alone"),
        ("shop_for_commands:later", 2, "is asynchronous. Build without I/O in a plain function"),
        ("shop_for_commands:nothing", 2, "gave a NoneType"),
        ("shop_for_commands:empty", 1, "A process without a service has nothing to do"),
        ("shop_for_commands:misnamed", 1, "'My Shop' cannot be a path and a label"),
        ("shop_for_commands:text", 1, "The components of shop are a str"),
        ("shop_for_commands:alone", 1, "The components of shop are a Part"),
        ("shop_for_commands:wrong_app", 1, "The application of shop is a str"),
        ("shop_for_commands:a_class", 1, "Part is a class, not a component. Construct it: Part()."),
        ("shop_for_commands:twins", 1, "there are two components of kind 'part' named 'default'"),
        ("shop_for_commands:broken", 1, "Component kind 'no noun!' is not a noun"),
        ("shop_for_commands:circle", 1, "need each other in a circle: first → second → first"),
    ],
)
def test_whatever_is_no_service_is_told_in_a_sentence(target: str, status: int, message: str) -> None:
    result = call("check", target)
    assert result.exit_code == status, result.output
    assert message in result.stderr
    as_json = call("check", target, "--json")
    assert as_json.exit_code == status
    assert json.loads(as_json.stdout)["ok"] is False


def test_an_error_in_the_users_own_code_keeps_its_part_of_the_trace() -> None:
    result = call("check", "needy:build")
    assert result.exit_code == 2
    assert 'needy.py", line 1, in <module>' in result.stderr
    assert "ModuleNotFoundError: No module named 'a_package_that_nobody_has'" in result.stderr
    assert "loading.py" not in result.stderr and "importlib" not in result.stderr
    assert json.loads(call("check", "needy:build", "--json").stdout)["ok"] is False


def test_a_declaration_that_cannot_be_right_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "wordy.py").write_text("from bedplate import Counter\n\nSALES = Counter('shop_sales', 'Sales.')\n")
    result = call("check", "wordy:build")
    assert (result.exit_code, "wordy.py, line 3: Counter shop_sales must end with _total." in result.stderr) == (
        1,
        True,
    )


def test_a_sound_service_is_listed() -> None:
    for target in ("shop_for_commands:build", "shop_for_commands:ready"):
        assert call("check", target).exit_code == 0
    document = json.loads(call("check", "shop_for_commands:build", "--json").stdout)
    assert document["ok"] is True
    kinds = [component["kind"] for component in document["services"][0]["components"]]
    assert {"part", "http", "health"} <= set(kinds)


def test_settings_are_listed_and_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEDPLATE_TOKENS", "ops:admin:a-secret-that-stays-secret")
    for arguments in ((), ("--json",)):
        result = call("settings", "shop_for_commands:build", *arguments)
        assert result.exit_code == 0, result.output
        assert "BEDPLATE_TOKENS" in result.stdout
        assert "a-secret-that-stays-secret" not in result.output


def test_a_minted_token_is_the_one_that_its_entry_lets_in() -> None:
    made = json.loads(call("token", "grafana", "--role", "metrics", "--json").stdout)
    assert made["entry"].startswith("grafana:metrics:")
    assert made["token"] not in made["entry"]
    identity = TokenTable(parse_tokens(made["entry"])).find(made["token"])
    assert identity is not None and (identity.name, identity.role) == ("grafana", "metrics")


@pytest.fixture
def taken() -> Iterator[int]:
    [listener] = listen("127.0.0.1", 0)
    with listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_told_before_anything_starts(taken: int, workers: str) -> None:
    result = call("run", "shop_for_commands:build", "--port", str(taken), "--workers", workers)
    assert result.exit_code == 2
    assert f"Cannot listen on 127.0.0.1:{taken}: Address already in use." in result.stderr


def test_so_is_a_management_port(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEDPLATE_SERVICE__MANAGEMENT_PORT", str(taken))
    result = call("run", "shop_for_commands:build", "--port", "0")
    assert (result.exit_code, f":{taken}: Address already in use" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", "99999"), "--port"),
        (("--workers", "0"), "--workers"),
        (("--host", "nonsense.invalid", "--port", "0"), "Cannot listen on nonsense.invalid:0"),
        (("--port", "0", "--workers", "2", "--run-dir", "/proc/none"), "The run directory /proc/none cannot be used"),
        (("--port", "0", "--workers", "2", "--run-dir", "/tmp/" + "x" * 110), "is too long for a socket"),
    ],
)
def test_options_that_cannot_be_are_refused(arguments: tuple[str, ...], message: str) -> None:
    result = call("run", "shop_for_commands:build", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_person_at_a_terminal_is_told_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[int] = []
    told: list[str] = []

    def serve(service: Any, sockets: list[socket.socket], **_: Any) -> int:
        ports.extend(listener.getsockname()[1] for listener in sockets)
        return 0

    module = importlib.import_module("bedplate.cli.run")
    monkeypatch.setattr("bedplate.service.runner.serve", serve)
    monkeypatch.setattr(module, "_is_terminal", lambda: True)
    monkeypatch.setattr(module.typer, "echo", lambda text, err=False: told.append(text))
    result = call("run", "shop_for_commands:build", "--port", "0")
    assert result.exit_code == 0, result.output
    assert told == [f"shop_for_commands:build is served at http://127.0.0.1:{ports[0]}. Ctrl-C stops it."]
