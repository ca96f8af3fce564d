"""Outputs: whole lines, rotation among processes, and faults that harm nobody."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from bedplate.telemetry.logs.outputs import FileOutput, StreamOutput


def lines(count: int, start: int = 0, size: int = 40) -> list[bytes]:
    return [json.dumps({"n": number}).encode().ljust(size) + b"\n" for number in range(start, start + count)]


def numbers(*paths: Path) -> list[int]:
    return [json.loads(line)["n"] for path in paths for line in path.read_bytes().splitlines()]


def test_a_file_is_made_with_its_directory_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "app.log"
    for start in (0, 2):
        output = FileOutput(path, max_bytes=10_000, backups=1)
        output.write(lines(2, start))
        output.close()
    assert numbers(path) == [0, 1, 2, 3]
    assert output.written == 82
    assert path.stat().st_mode & 0o007 == 0


def test_a_full_file_is_rotated_and_old_ones_go(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    output = FileOutput(path, max_bytes=450, backups=2)
    for start in range(0, 50, 5):
        output.write(lines(5, start))
    output.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["app.log", "app.log.1", "app.log.2"]
    kept = numbers(path.with_name("app.log.2"), path.with_name("app.log.1"), path)
    assert kept == list(range(50 - len(kept), 50))
    assert all(file.stat().st_size <= 450 for file in tmp_path.iterdir())


def test_without_backups_the_file_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    output = FileOutput(path, max_bytes=450, backups=0)
    for start in range(0, 20, 5):
        output.write(lines(5, start))
    output.close()
    assert [file.name for file in tmp_path.iterdir()] == ["app.log"]
    assert numbers(path)[-1] == 19


def test_a_batch_larger_than_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    output = FileOutput(path, max_bytes=100, backups=1)
    output.write(lines(10))
    output.close()
    assert numbers(path) == list(range(10))


@pytest.mark.parametrize("gone", ["moved", "deleted"])
def test_a_file_that_somebody_takes_away_is_made_anew(tmp_path: Path, gone: str) -> None:
    path = tmp_path / "app.log"
    output = FileOutput(path, max_bytes=10_000, backups=1)
    output.write(lines(1))
    if gone == "moved":
        path.rename(tmp_path / "app.log-20260101")
    else:
        path.unlink()
    output.write(lines(1, 1))
    output.close()
    assert numbers(path) == [1]


def test_processes_share_a_file_and_lose_nothing_in_rotation(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    script = textwrap.dedent(
        """
        import json, sys
        from pathlib import Path
        from bedplate.telemetry.logs.outputs import FileOutput
        output = FileOutput(Path(sys.argv[1]), max_bytes=20_000, backups=50)
        first = int(sys.argv[2])
        for start in range(first, first + 2_000, 10):
            output.write([json.dumps({"n": n}).encode() + b"\\n" for n in range(start, start + 10)])
        print(output.lost, output.fault)
        """
    )
    starts = (100_000, 200_000, 300_000)
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(start)], stdout=subprocess.PIPE, text=True)
        for start in starts
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["0"] * 3
    found = numbers(*tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) > 3
    assert sorted(found) == [number for start in starts for number in range(start, start + 2_000)]


def test_a_directory_that_cannot_be_written_is_a_fault_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    output = FileOutput(tmp_path / "file" / "app.log", max_bytes=10_000, backups=1)
    output.write(lines(3))
    assert output.lost == 3
    assert output.fault == "app.log: Not a directory"


def test_a_full_disk_loses_lines_and_later_ones_begin_on_a_line_of_their_own(tmp_path: Path) -> None:
    # A limit on the size of files is the full disk that a test can have; it holds for a child process only.
    path = tmp_path / "app.log"
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from bedplate.telemetry.logs.outputs import FileOutput
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        output = FileOutput(Path(sys.argv[1]), max_bytes=1 << 30, backups=1)
        output.write([b'{"n": 0}\\n'])
        resource.setrlimit(resource.RLIMIT_FSIZE, (15, resource.RLIM_INFINITY))
        output.write([b'{"n": 1}\\n', b'{"n": 2}\\n'])
        print(output.lost, output.fault)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        output.write([b'{"n": 3}\\n'])
        print(output.lost, output.fault)
        """
    )
    result = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["2 app.log: File too large", "2 "]
    assert path.read_bytes().splitlines() == [b'{"n": 0}', b'{"n": ', b'{"n": 3}']
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


class Piped:
    """A stream whose other end is ours to read, or not."""

    closed = False

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def fileno(self) -> int:
        return self.writer

    def read(self) -> bytes:
        os.close(self.writer)
        with os.fdopen(self.reader, "rb") as pipe:
            return pipe.read()


def test_lines_reach_the_standard_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = Piped()
    monkeypatch.setattr(sys, "stderr", piped)
    output = StreamOutput("stderr")
    output.write(lines(3))
    assert output.written == 123
    assert [json.loads(line)["n"] for line in piped.read().splitlines()] == [0, 1, 2]


def test_lines_are_rendered_for_a_stream_in_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = io.StringIO()
    monkeypatch.setattr(sys, "stdout", memory)
    StreamOutput("stdout", render=lambda line: line.upper()).write([b"hello\n"])
    assert memory.getvalue() == "HELLO\n"


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_stream_that_is_gone_is_a_fault_and_no_error(monkeypatch: pytest.MonkeyPatch, stream: str | None) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed if stream else None)
    output = StreamOutput("stderr")
    output.write(lines(2))
    assert output.lost == 2
    assert output.fault == "stderr: the stream is closed"


def test_a_pipe_without_reader_is_a_fault_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = Piped()
    os.close(piped.reader)
    monkeypatch.setattr(sys, "stderr", piped)
    output = StreamOutput("stderr")
    output.write(lines(2))
    assert (output.lost, output.fault) == (2, "stderr: Broken pipe")
    os.close(piped.writer)


def test_a_pipe_that_nobody_reads_blocks_nobody_and_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = Piped()
    monkeypatch.setattr(sys, "stderr", piped)
    output = StreamOutput("stderr")
    output.write(lines(5_000), patient=False)  # more than a pipe holds
    assert output.waiting > 0
    assert output.fault == ""
    output.write(lines(1, 5_000))
    assert output.fault == "stderr: nobody reads it"
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(piped_read(piped)))
    reader.start()
    while output.waiting:
        output.write(())
    os.close(piped.writer)
    reader.join(60)
    assert [json.loads(line)["n"] for line in received[0].splitlines()] == list(range(5_001))
    assert (output.lost, output.fault) == (0, "")


def piped_read(piped: Piped) -> bytes:
    with os.fdopen(piped.reader, "rb") as pipe:
        return pipe.read()


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = Piped()
    monkeypatch.setattr(sys, "stderr", piped)
    output = StreamOutput("stderr", backlog_bytes=100_000)
    output.write(lines(10_000), patient=False)
    assert output.waiting <= 100_000
    assert output.lost > 0
    output.close()
    read = len(piped.read().splitlines())
    assert 0 < read < 10_000
