"""Runs the code in the docs. ``python -m tools.docs PAGE…`` runs pages; the tests do the same, each page in a process.

The conventions, for whoever writes a page:

- ```` ```python ```` blocks of a page share one namespace and run in order, in an empty folder; ``await`` may stand at
  the top. Let an ``assert`` say what a reader should see.
- A block of any language whose first line is ``# file: NAME`` is written to that file and not run; later blocks import
  it, or name it in a command.
- In ```` ```console ```` blocks each line after ``$ `` is run by bash, with the environment's programs on the PATH; a
  trailing backslash continues it. ``cd`` and ``export`` last to the end of the page. Exit code 0 is expected, or N
  where the command ends in ``# exits N``. A command that ends in ``&`` runs until the page ends, or until
  ``$ kill %1``, which waits for its end and exits with its code; ``$ kill -HUP %1`` only sends the signal.
- Lines below a command are its expected output, both streams; without any, output is not compared. Blank lines, spaces
  at the ends and colours do not count; ``…`` stands for anything in a line, and alone on a line for any lines.
- Port 8000 stands for a free one. While a command runs in the background, a block or command that names the port waits
  until it is served. ``$ make …`` is not run.
- A page with the comment ``<!-- needs: postgresql -->`` finds an empty database at ``DATABASE_URL``, and ``psql``.
- The tag ``no-run`` after the language keeps a block from running. Shell belongs in ``console``: other shell blocks
  need the tag.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.finding import ROOT
from tools.markdown import Block, Page
from tools.shell import CALM, PORT, Shell

__all__ = ["PageFailure", "commands", "matches", "run_page", "to_run"]

NO_RUN = "no-run"
PAGE_SECONDS = 240

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)")
_FILE = re.compile(r"(?:#|//|--) file: (\S+)[ \t]*$", re.MULTILINE)
_EXITS = re.compile(r"\s#\s*exits (\d+)\s*$")
_SERVER = re.compile(rf"\b(localhost|127\.0\.0\.1):{PORT}\b")
_NOT_RUN = re.compile(r"make\b")
_POSTGRESQL = "<!-- needs: postgresql -->"
_SHELLS = frozenset({"bash", "sh", "shell", "zsh", "shell-session", "pycon"})


class PageFailure(AssertionError):
    """A block did not do what its page says."""


def to_run(page: Page) -> bool:
    """Say whether a page has a block that is run, or that must not stand there untagged."""
    languages = {"python", "console", *_SHELLS}
    return any(NO_RUN not in one.tags and (one.language in languages or _FILE.match(one.text)) for one in page.blocks)


def run_page(path: Path, folder: Path) -> int:
    """Run every block of a page in ``folder``, which becomes the working directory; return how many ran.

    Raises :class:`PageFailure` with page, line and reason at the first that fails. Meant for a process of its own: the
    page's code may start servers and set up logging.
    """
    page = Page(path)
    os.chdir(folder)
    os.environ.update(CALM)
    sys.path.insert(0, str(folder))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    ran = 0
    with asyncio.Runner() as runner, _servers(path), Shell(folder) as shell:
        for block in page.blocks:
            place = f"{path.name}:{block.line}"
            if NO_RUN in block.tags:
                continue
            if name := _FILE.match(block.text):
                _write(folder, name[1], block.text, place)
            elif block.language == "python":
                _python(block, path, namespace, runner, shell)
            elif block.language == "console":
                _console(block, shell, place)
            elif block.language in _SHELLS:
                raise PageFailure(f"{place}: {block.language} is not run; use python or console, or add {NO_RUN}")
            else:
                continue
            ran += 1
    return ran


@contextmanager
def _servers(path: Path) -> Iterator[None]:
    """Run what a page needs while inside."""
    if _POSTGRESQL not in path.read_text(encoding="utf-8"):
        yield
        return
    sys.path.insert(0, str(ROOT))
    from tests.postgres import postgres

    with postgres() as server:
        os.environ["DATABASE_URL"] = server.database()
        os.environ["PATH"] = os.pathsep.join([str(server.programs), os.environ.get("PATH", os.defpath)])
        yield


def _write(folder: Path, name: str, text: str, place: str) -> None:
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise PageFailure(f"{place}: the file {name} is outside of the page's folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def _python(block: Block, path: Path, namespace: dict[str, Any], runner: asyncio.Runner, shell: Shell) -> None:
    text, servers = _SERVER.subn(rf"\1:{shell.port}", block.text)
    if servers:
        shell.wait_for_server()
    source = "\n" * (block.line - 1) + text  # so that tracebacks show the page's lines
    importlib.invalidate_caches()  # the page may just have written a module
    try:
        code = compile(source, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            runner.run(eval(code, namespace))
        else:
            exec(code, namespace)
    except (Exception, SystemExit) as error:
        raise PageFailure(f"{path.name}:{block.line}: python\n{_trace(error, path)}") from error


def _trace(error: BaseException, path: Path) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    start = next((index for index, frame in enumerate(frames) if frame.filename == str(path)), 0)
    return "".join([*traceback.format_list(frames[start:]), *traceback.format_exception_only(error)])


def _console(block: Block, shell: Shell, place: str) -> None:
    for command, expected in commands(block.text):
        if _NOT_RUN.match(command):
            continue
        wanted = int(match[1]) if (match := _EXITS.search(command)) else 0
        code, output = shell.run(command)
        if code != wanted:
            detail = output + shell.background_output()
            raise PageFailure(f"{place}: `{command}` exited with {code}, not {wanted}:\n{detail}")
        if expected and not matches(expected, output):
            shown = "\n".join(expected)
            raise PageFailure(f"{place}: `{command}` printed\n{output}\nwhere the page says\n{shown}")


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (command, lines of expected output) of a console block."""
    command: str | None = None
    expected: list[str] = []
    continued = False
    for line in text.splitlines():
        if continued and command is not None:
            command += "\n" + line.removeprefix("> ")
        elif line.startswith("$ "):
            if command is not None:
                yield command, expected
            command, expected = line[2:], []
        elif line.strip():
            expected.append(line)
            continue
        continued = line.endswith("\\")
    if command is not None:
        yield command, expected


def matches(expected: list[str], output: str) -> bool:
    """Say whether output is what a page shows, with ``…`` for what varies."""
    seen = [" ".join(line.split()) for line in _ANSI.sub("", output).splitlines() if line.strip()]
    pattern = ""
    for line in expected:
        wanted = " ".join(line.split())
        if wanted in ("…", "..."):
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]*".join(re.escape(part.strip()) for part in wanted.split("…")) + r"\n"
    text = "".join(f"{line}\n" for line in seen)
    return re.fullmatch(pattern, text) is not None


def _too_slow(*_: object) -> None:
    raise PageFailure(f"the page took more than {PAGE_SECONDS} s")


def main(arguments: list[str]) -> int:
    """Run the pages named, relative to the project; return the exit code."""
    signal.signal(signal.SIGALRM, _too_slow)
    for argument in arguments:
        with tempfile.TemporaryDirectory(prefix="bedplate-page-") as folder:
            signal.alarm(PAGE_SECONDS)
            try:
                ran = run_page((ROOT / argument).resolve(), Path(folder))
            except PageFailure as failure:
                print(failure, file=sys.stderr)
                return 1
            finally:
                os.chdir(ROOT)
        print(f"{argument}: {ran} blocks")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
