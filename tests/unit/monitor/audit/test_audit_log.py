"""The audit log: what is written is found again, and nothing can be changed unseen."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bedplate import Service
from bedplate.cli.main import app
from bedplate.monitor.audit import GENESIS, AuditLog, files_of, verify
from bedplate.monitor.audit.chain import sealed
from bedplate.settings import Settings, Sources
from bedplate.testing import running, settings


def a_log(path: Path, records: int = 6) -> AuditLog:
    log = AuditLog(path)
    for number in range(records):
        log.append({"at": float(number), "actor": "alice", "action": f"act-{number}", "outcome": "done"})
    return log


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_log_that_nobody_touched_is_whole(tmp_path: Path) -> None:
    log = a_log(tmp_path / "audit.jsonl")
    found = log.verify()
    assert (found.whole, found.records, found.first) == (True, 6, 1)
    assert [record["action"] for record in log.latest(3)] == ["act-5", "act-4", "act-3"]
    assert log.latest(1)[0]["hash"] == found.head
    assert json.loads(lines(tmp_path / "audit.jsonl")[0])["previous"] == GENESIS


@given(st.data())
def test_any_change_of_a_byte_is_seen(data: st.DataObject) -> None:
    previous, whole = GENESIS, []
    for number in range(4):
        line, previous = sealed({"actor": "alice", "note": "ä€ \u2028", "n": number}, number + 1, previous)
        whole.append(line)
    text = bytearray(b"".join(whole))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[place]))
    assert not verify([("log", bytes(text).split(b"\n")[:-1] or [b""])]).whole or bytes(text).endswith(b"}")


@pytest.mark.parametrize(
    "harm",
    [
        lambda rows: [*rows[:2], *rows[3:]],
        lambda rows: [rows[0], rows[2], rows[1], *rows[3:]],
        lambda rows: [*rows[:3], rows[1], *rows[3:]],
        lambda rows: [rows[0], rows[1].replace(b"act-1", b"act-9"), *rows[2:]],
        lambda rows: [*rows[:5], rows[5][:40] + b"\n"],
        lambda rows: [*rows[:3], b"[]\n", *rows[3:]],
    ],
    ids=["removed", "moved", "inserted", "changed", "cut", "rubbish"],
)
def test_what_was_done_to_a_log_is_told_with_its_place(tmp_path: Path, harm: Any) -> None:
    path = tmp_path / "audit.jsonl"
    log = a_log(path)
    path.write_bytes(b"".join(harm(lines(path))))
    found = log.verify()
    assert not found.whole and found.fault and f"{path}, line" in found.place


def test_whoever_rewrites_all_that_follows_is_told_by_the_latest_hash(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    head = a_log(path).verify().head
    path.write_bytes(b"".join(lines(path)[:4]))
    assert AuditLog(path).verify().whole
    result = CliRunner().invoke(app, ["audit", "verify", str(path), "--expect", head])
    assert result.exit_code == 1 and "missing or were replaced" in result.output


def test_files_are_rotated_and_remain_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, max_bytes=1000, keep=3)
    for number in range(30):
        log.append({"action": f"act-{number}"})
    files = files_of(path)
    assert len(files) == 4 and files[-1] == path
    found = log.verify()
    assert found.whole and found.first > 1 and found.first + found.records - 1 == 30
    assert [record["action"] for record in log.latest(12)] == [f"act-{number}" for number in range(29, 17, -1)]
    middle = files[1]
    middle.write_bytes(b"".join(lines(middle)[1:]))
    assert not log.verify().whole


def test_processes_continue_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    program = (
        "import sys; from pathlib import Path; from bedplate.monitor.audit import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]), max_bytes=3000)\n"
        "for n in range(40): log.append({'action': n})"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, str(path)]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    found = AuditLog(path).verify()
    assert found.whole, found
    assert found.records == 120


def test_memory_keeps_the_chain_too() -> None:
    log = AuditLog()
    log.append({"action": "one"})
    log.append({"action": "two"})
    assert log.verify().whole and [record["action"] for record in log.latest()] == ["two", "one"]


async def test_a_log_that_cannot_be_written_degrades_and_recovers(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.write_text("a file where the folder should be")
    given = settings(audit={"file": str(folder / "audit.jsonl")})
    service = Service("shop", None, settings=given)
    audit = service.builtins.audit
    async with running(service) as harness:
        assert await audit.keep({"action": "one"}) == ""
        view = next(view for view in harness.service.views if view.component is audit)
        assert view.state == "degraded" and "cannot be written" in view.reason
        assert await harness.value("bedplate_audit_records_total", outcome="lost") == 1
        folder.unlink()
        assert await audit.keep({"action": "two"})
        view = next(view for view in harness.service.views if view.component is audit)
        assert view.state == "running"
        assert (await audit.verify()).records == 1


def test_the_command_tells_whole_from_broken(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    a_log(path)
    told = CliRunner().invoke(app, ["audit", "verify", str(path)])
    assert told.exit_code == 0 and "Whole: 6 records" in told.output
    shown = CliRunner().invoke(app, ["audit", "show", str(path), "-n", "2", "--json"])
    assert [record["action"] for record in json.loads(shown.output)] == ["act-5", "act-4"]
    assert "act-5" in CliRunner().invoke(app, ["audit", "show", str(path)]).output
    path.write_bytes(path.read_bytes().replace(b"alice", b"mallory", 1))
    broken = CliRunner().invoke(app, ["audit", "verify", str(path), "--json"])
    assert broken.exit_code == 1
    assert json.loads(broken.output)["place"] == f"{path}, line 1"
    assert CliRunner().invoke(app, ["audit", "verify", str(tmp_path / "none")]).exit_code == 2


async def test_without_a_file_it_is_kept_where_state_lasts_and_goes_on_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'state'}:/elsewhere")
    path = tmp_path / "state" / "shop.audit.jsonl"
    for number in (1, 2):
        values: dict[str, Any] = {"logs": {"stream": "off"}, "auth": {"tokens": "ann:admin:a-token-0123456789abcdef"}}
        given = Settings(environment="staging", _sources=Sources.none(), **values)
        service = Service("shop", None, settings=given)
        async with running(service, headers={"authorization": "Bearer a-token-0123456789abcdef"}) as harness:
            reload = "/monitoring/components/settings/default/actions/reload"
            assert (await harness.client.post(reload)).status_code == 200
            assert (await service.builtins.audit.verify()).records == number
    assert AuditLog(path).verify().whole
    told = CliRunner().invoke(app, ["audit", "verify"])
    assert told.exit_code == 0 and "Whole: 2 records" in told.output
    (tmp_path / "state" / "mill.audit.jsonl").write_text("")
    several = CliRunner().invoke(app, ["audit", "verify"])
    assert several.exit_code == 2 and "several audit logs" in several.output


async def test_one_that_could_not_be_written_is_told_before_anybody_acts(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    given = settings(audit={"file": str(tmp_path / "folder" / "audit.jsonl")})
    service = Service("shop", None, settings=given)
    async with running(service) as harness:
        view = next(view for view in harness.service.views if view.component is service.builtins.audit)
        assert view.state == "degraded" and "BEDPLATE_AUDIT__FILE" in view.reason


def test_a_record_is_on_the_disk_before_it_counts_as_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))

    monkeypatch.setattr(os, "fsync", fsync)
    log = a_log(tmp_path / "audit.jsonl", records=2)
    assert synced == [False, True, False], "the file, its name in the folder when it is new, the file"
    monkeypatch.setattr(os, "fsync", _no_disk)
    with pytest.raises(OSError, match="no disk"):
        log.append({"action": "three"})


def _no_disk(descriptor: int) -> None:
    raise OSError("no disk")
