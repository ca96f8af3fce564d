"""What is written arrives, in order, without making anybody wait, and at the end of the process as well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bedplate.telemetry.logs.writer import Writer


class Kept:
    """An output in memory."""

    name = "kept"
    fault = ""
    lost = 0
    written = 0
    waiting = 0

    def __init__(self, errors_only: bool = False, during: Callable[[], None] = lambda: None) -> None:
        self.errors_only = errors_only
        self.lines: list[bytes] = []
        self.threads: set[str] = set()
        self._during = during

    def write(self, lines: Sequence[bytes], *, patient: bool = True) -> None:
        self._during()
        self.lines += lines
        self.threads.add(threading.current_thread().name)

    def close(self) -> None: ...


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer(interval=0.02)
    yield writer
    writer.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_lines_from_before_the_start_are_written_first(writer: Writer) -> None:
    kept = Kept()
    writer.write(b"early\n")
    writer.flush()
    writer.start([kept])
    writer.write(b"late\n")
    until(lambda: len(kept.lines) == 2)
    assert kept.lines == [b"early\n", b"late\n"]
    assert kept.threads == {"bedplate-logs"}


def test_errors_are_written_at_once_with_all_that_came_before() -> None:
    kept, errors = Kept(), Kept(errors_only=True)
    writer = Writer(interval=5)
    writer.start([kept, errors])
    writer.write(b"info\n", 20)
    assert kept.lines == []
    writer.write(b"error\n", 40)
    assert kept.lines == [b"info\n", b"error\n"]
    assert errors.lines == [b"error\n"]
    writer.close()


def test_a_lines_level_is_read_from_it_when_it_is_not_given(writer: Writer) -> None:
    errors = Kept(errors_only=True)
    seen: list[int] = []
    writer.listeners = (lambda batch: seen.extend(level for level, _ in batch),)
    writer.start([errors])
    head = b'{"timestamp":"2026-11-22T10:53:50.123456Z","level":"%s","message":"x"}\n'
    for level in (b"DEBUG", b"INFO", b"WARNING", b"ERROR", b"CRITICAL"):
        writer.write(head % level)
    writer.write(b'{"message":"other order","level":"ERROR"}\n')
    writer.write(b'{"message":"no level"}\n')
    writer.flush()
    assert seen == [10, 20, 30, 40, 50, 40, 20]
    assert len(errors.lines) == 3


def test_much_is_written_before_the_time_is_up() -> None:
    kept = Kept()
    writer = Writer(interval=5, flush_bytes=1_000)
    writer.start([kept])
    for _ in range(20):
        writer.write(b"x" * 99 + b"\n")
    until(lambda: len(kept.lines) > 0)
    writer.close()
    assert len(kept.lines) == 20


def test_many_threads_lose_nothing_and_keep_their_order(writer: Writer) -> None:
    kept = Kept()
    writer.start([kept])

    def write(name: int) -> None:
        for number in range(1_000):
            writer.write(b"%d %d\n" % (name, number), 40 if number % 100 == 0 else 20)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.stop()
    assert len(kept.lines) == 4_000
    for name in range(4):
        own = [int(line.split()[1]) for line in kept.lines if line.startswith(b"%d " % name)]
        assert own == list(range(1_000))


def test_a_full_backlog_drops_and_counts(writer: Writer) -> None:
    writer.backlog_bytes = 1_000
    for _ in range(30):
        writer.write(b"x" * 100)
    assert writer.dropped == 20
    kept = Kept()
    writer.start([kept])
    writer.flush()
    assert len(kept.lines) == 10
    writer.write(b"room again\n")
    writer.flush()
    assert len(kept.lines) == 11


def test_nobody_waits_for_an_output_that_is_stuck() -> None:
    entered, stuck = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        stuck.wait(10)

    kept = Kept(during=hang)
    writer = Writer(interval=0.005)
    writer.start([kept])
    writer.write(b"one\n")
    assert entered.wait(60)
    writer.write(b"two\n", 40)
    assert kept.lines == []
    stuck.set()
    writer.close()
    assert kept.lines == [b"one\n", b"two\n"]


def test_whoever_logs_in_the_middle_of_writing_does_not_lock_up() -> None:
    once = iter([True])
    kept = Kept(during=lambda: (next(once, False) and writer.write(b"inside\n", 40)) or None)
    writer = Writer(interval=0.01)
    writer.start([kept])
    writer.write(b"outside\n", 40)
    until(lambda: len(kept.lines) == 2)
    writer.close()
    assert kept.lines == [b"outside\n", b"inside\n"]


def test_a_listener_that_fails_harms_nobody(writer: Writer) -> None:
    kept = Kept()
    writer.listeners = (lambda batch: 1 // 0,)  # type: ignore[assignment,return-value]
    writer.start([kept])
    writer.write(b"error\n", 40)
    assert kept.lines == [b"error\n"]


def test_it_starts_and_stops_again(writer: Writer) -> None:
    for name in (b"first\n", b"second\n"):
        kept = Kept()
        writer.start([kept])
        writer.write(name)
        writer.close()
        assert kept.lines == [name]
    writer.write(b"after the end\n")
    assert kept.lines[-1] == b"after the end\n"


def run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    head = """
        import os, sys, threading
        from pathlib import Path
        from bedplate.telemetry.logs.outputs import FileOutput
        from bedplate.telemetry.logs.writer import Writer
        writer = Writer(interval=5)
        writer.start([FileOutput(Path(sys.argv[1]), max_bytes=1 << 20, backups=1)])
    """
    code = textwrap.dedent(head) + textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "end",
    ["", "sys.exit(3)", "raise RuntimeError('crash')", "import signal; signal.raise_signal(signal.SIGINT)"],
    ids=["end", "exit", "crash", "interrupt"],
)
def test_the_end_of_the_process_loses_nothing(tmp_path: Path, end: str) -> None:
    path = tmp_path / "app.log"
    run(f"writer.write(b'last words\\n')\n{end}\n", path)
    assert path.read_bytes() == b"last words\n"


def test_errors_survive_even_a_hard_exit(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    run("writer.write(b'info\\n', 20)\nwriter.write(b'error\\n', 40)\nwriter.write(b'lost\\n', 20)\nos._exit(1)", path)
    assert path.read_bytes() == b"info\nerror\n"


def test_a_forked_child_writes_its_own_lines_once_and_at_once(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    result = run(
        """
        writer.write(b'parent before\\n')
        pid = os.fork()
        if pid == 0:
            writer.write(b'child\\n')
            os._exit(0)
        os.waitpid(pid, 0)
        writer.write(b'parent after\\n')
        """,
        path,
    )
    assert result.returncode == 0
    assert path.read_bytes() == b"child\nparent before\nparent after\n"


def test_a_fork_while_threads_log_does_not_lock_up(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    result = run(
        """
        stop = threading.Event()
        def shout():
            while not stop.is_set():
                writer.write(b'thread\\n', 40)
        threads = [threading.Thread(target=shout) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                writer.write(b'child\\n', 40)
                os._exit(0)
            os.waitpid(pid, 0)
        stop.set()
        for thread in threads:
            thread.join()
        """,
        path,
    )
    assert result.returncode == 0, result.stderr
    files = [path, path.with_name("app.log.1")]
    assert sum(file.read_bytes().count(b"child\n") for file in files if file.exists()) > 0


def test_lines_are_json_lines_when_written_so(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    run("for n in range(100): writer.write(b'{\"n\": %d}\\n' % n)", path)
    assert [json.loads(line)["n"] for line in path.read_bytes().splitlines()] == list(range(100))
    assert os.listdir(tmp_path) == ["app.log"]


def formed(bulk: tuple[Any, ...]) -> list[bytes]:
    """Return a line for each word, followed by what all have, and none for what is no word."""
    return [f"{word} {bulk[3]}\n".encode() for word in bulk[2] if isinstance(word, str)]


def test_a_line_that_was_put_off_is_formed_in_its_place(writer: Writer) -> None:
    kept, errors = Kept(), Kept(errors_only=True)
    seen: list[tuple[int, bytes]] = []
    writer.listeners = (seen.extend,)
    writer.write(b"1\n", 20)
    writer.defer((20, formed, ["put"], "off"), 10)
    writer.write(b"3\n", 20)
    writer.defer((40, formed, ["failed"], "too"), 10)
    writer.start([kept, errors])
    writer.stop()
    assert kept.lines == [b"1\n", b"put off\n", b"3\n", b"failed too\n"]
    assert errors.lines == [b"failed too\n"]
    assert seen == [(20, b"1\n"), (20, b"put off\n"), (20, b"3\n"), (40, b"failed too\n")]
    writer.defer((20, formed, ["after"], "all"), 10)
    assert kept.lines[-1] == b"after all\n"


def test_an_error_takes_along_what_was_put_off_before_it() -> None:
    kept = Kept()
    writer = Writer(interval=5)
    writer.start([kept])
    writer.defer((20, formed, ["put"], "off"), 10)
    writer.write(b"error\n", 40)
    assert kept.lines == [b"put off\n", b"error\n"]
    writer.close()


def test_what_was_put_off_counts_for_the_bounds_and_a_failure_is_one_line() -> None:
    kept = Kept()
    writer = Writer(interval=5, flush_bytes=1_000, backlog_bytes=3_000)
    for _ in range(30):
        writer.defer((20, formed, ["x"], "y"), 100)
    writer.defer((20, formed, ["one too"], "many"), 100)
    assert writer.dropped == 1
    writer.start([kept])
    writer.flush()
    assert len(kept.lines) == 30
    for bulk in ((20, formed, ["good"], 1), (20, formed, ["bad", "bad"]), (20, formed, ["good", None, "better"], 2)):
        writer.defer(bulk, 400)
    until(lambda: len(kept.lines) == 33)
    assert (kept.lines[-3:], writer.dropped) == ([b"good 1\n", b"good 2\n", b"better 2\n"], 4)
    writer.close()
