"""The code in the project's pages runs, their links lead somewhere, and the harness itself notices what is wrong."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tools.docs import commands, matches, to_run
from tools.finding import ROOT
from tools.markdown import Page, broken_links, pages

PAGES = [path.relative_to(ROOT).as_posix() for path in pages(ROOT)]


def run(page: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.docs", str(page)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page: str) -> None:
    if not to_run(Page(ROOT / page)):
        return  # a process would find nothing to do; more than half of the pages are decisions and the like
    result = run(page)
    assert result.returncode == 0, f"{result.stdout}{result.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    assert list(broken_links(ROOT / page, ROOT)) == []


def write(folder: Path, text: str, name: str = "page.md") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def test_blocks_of_a_page_share_names_files_and_environment(tmp_path: Path) -> None:
    page = write(
        tmp_path,
        """
        # A page

        ```python
        # file: shop.py
        PRICE = 3
        ```
        ```toml
        # file: conf/shop.toml
        price = 4
        ```
        ```python
        import asyncio, tomllib
        from pathlib import Path
        from shop import PRICE
        other = tomllib.loads(Path("conf/shop.toml").read_text())["price"]
        ```
        Prose between.
        ```python
        await asyncio.sleep(0)
        assert PRICE + other == 7
        ```
        ```console
        $ export SHOP=open && cd conf
        $ echo "$SHOP at $(basename $PWD)" \\
        >   "now"
        open at conf now
        $ python -c 'import sys; print(sys.prefix); print("x" * 3)'
        …
        xxx
        $ python -c 'raise SystemExit(2)'  # exits 2
        $ make something-that-is-no-target
        ```
        ```console no-run
        $ false
        ```
        ```python no-run
        raise RuntimeError
        ```
        ```json
        {"not": "run"}
        ```
        """,
    )
    result = run(page)
    assert result.stderr == ""
    assert result.stdout.endswith("page.md: 5 blocks\n")
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_a_server_in_the_background_answers_on_the_pages_port_and_ends_with_the_page(tmp_path: Path) -> None:
    page = write(
        tmp_path,
        f"""
        ```console
        $ echo $PORT > {tmp_path}/port; echo hello > index.txt
        $ python -m http.server 8000 --bind 127.0.0.1 &
        $ curl http://127.0.0.1:8000/index.txt
        hello
        $ echo http://localhost:8000/ $PORT
        http://localhost:8000/ 8000
        ```
        ```python
        from urllib.request import urlopen
        with urlopen("http://127.0.0.1:8000/index.txt") as answer:
            assert answer.read() == b"hello\\n"
        ```
        """,
    )
    result = run(page)
    assert result.stderr == ""
    assert result.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int((tmp_path / "port").read_text())), timeout=1)


def test_a_command_in_the_background_can_be_signalled_and_ended(tmp_path: Path) -> None:
    waiting = (
        'python -c \'import signal, sys; signal.signal(1, lambda *_: print("again")); '
        'signal.signal(15, lambda *_: sys.exit(3)); print("ready"); [signal.pause() for _ in range(9)]\''
    )
    page = write(
        tmp_path,
        f"""
        ```console
        $ {waiting} > log &
        $ until grep -q ready log; do sleep 0.05; done
        $ kill -HUP %1
        $ until grep -q again log; do sleep 0.05; done
        $ kill %1  # exits 3
        $ kill %1  # exits 1
        %1: no such job
        $ sh -c 'echo up; exec sleep 60' > second &
        $ until grep -q up second; do sleep 0.05; done
        $ kill -INT %1  # exits 130
        ```
        """,
    )
    result = run(page)
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("```python\nx = 1\nassert x == 2\n```", ["page.md:4", 'page.md", line 5', "AssertionError"]),
        ("```python\nx = (\n```", ["page.md:4", "SyntaxError"]),
        ("```python\nraise SystemExit(1)\n```", ["page.md:4", "SystemExit"]),
        ("```python\nimport asyncio\nawait asyncio.wait_for(asyncio.Event().wait(), 0.01)\n```", ["TimeoutError"]),
        ("```console\n$ ls missing-file\n```", ["page.md:4", "`ls missing-file` exited with 2, not 0", "No such file"]),
        ("```console\n$ true  # exits 1\n```", ["exited with 0, not 1"]),
        ("```console\n$ echo one\ntwo\n```", ["`echo one` printed", "one", "where the page says", "two"]),
        ("```bash\necho hello\n```", ["page.md:4: bash is not run", "no-run"]),
        ("```python\n# file: ../outside.py\n```", ["outside of the page's folder"]),
    ],
)
def test_a_block_that_does_not_do_what_it_says_fails_by_line(tmp_path: Path, block: str, says: list[str]) -> None:
    result = run(write(tmp_path, f"# Page\n\n{block}\n"))
    assert result.returncode == 1
    for words in says:
        assert words in result.stderr
    assert not (tmp_path.parent / "outside.py").exists()


@pytest.mark.parametrize(
    ("block", "found"),
    [
        ("```python\nx = 1\n```", True),
        ("```console\n$ ls\n```", True),
        ("```bash\nls\n```", True),
        ("```toml\n# file: shop.toml\n```", True),
        ("```python no-run\nx = 1\n```", False),
        ("```toml\nprice = 1\n```", False),
        ("Prose.", False),
    ],
)
def test_a_page_is_run_when_it_has_something_to_run(tmp_path: Path, block: str, found: bool) -> None:
    assert to_run(Page(write(tmp_path, f"# Page\n\n{block}\n"))) is found


def test_console_blocks_are_read_as_commands_and_their_output() -> None:
    text = "$ one\n\nout 1\nout 2\n$ two \\\n  more\n$ three\n"
    assert list(commands(text)) == [("one", ["out 1", "out 2"]), ("two \\\n  more", []), ("three", [])]


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        (["a b"], "  a   b \n\n", True),
        (["a", "b"], "a\nb\n", True),
        (["a"], "a\nb\n", False),
        (["b"], "a\nb\n", False),
        (["a", "…"], "a\nb\nc\n", True),
        (["…", "c"], "a\nb\nc\n", True),
        (["a", "…", "b"], "a\nb\n", True),
        (["took … ms, ok"], "took 3.2 ms, ok\n", True),
        (["took … ms, ok"], "took 3.2 ms, failed\n", False),
        (["1.5 (a|b)*"], "1x5 a\n", False),
        (["green"], "\x1b[32mgreen\x1b[0m\n", True),
    ],
)
def test_output_is_compared_loosely(expected: list[str], output: str, same: bool) -> None:
    assert matches(expected, output) is same


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "how-to").mkdir(parents=True)
    write(tmp_path, "# Run `make`, & wait!\n\n## Two\n\n## Two\n\n<a id='own'></a>\n", "docs/target.md")
    return tmp_path


@pytest.mark.parametrize(
    "link",
    [
        "[x](../target.md)",
        "[x](../target.md#run-make--wait)",
        "[x](../target.md#two)",
        "[x](../target.md#two-1)",
        "[x](../target.md#own)",
        "[x](/docs/target.md)",
        "[x](#here)",
        "[x][ref]\n\n[ref]: ../target.md",
        "![x](../target.md)",
        "[x](https://example.org/not#fetched)",
        "[x](mailto:someone@example.org)",
        "`[x](missing.md)`",
        "```\n[x](missing.md)\n```",
    ],
)
def test_links_that_lead_somewhere(site: Path, link: str) -> None:
    page = write(site, f"# Here\n\n{link}\n", "docs/how-to/page.md")
    assert list(broken_links(page, site)) == []


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("[x](missing.md)", "[missing.md]: there is no such file"),
        ("[x](../target.md#three)", "target.md has no heading with that anchor"),
        ("[x](#nowhere)", "page.md has no heading with that anchor"),
        ("![x](picture.png)", "there is no such file"),
        ('<img src="picture.png">', "there is no such file"),
        ("[x](../../../)", "leads out of the project"),
    ],
)
def test_links_that_lead_nowhere_are_named(site: Path, link: str, says: str) -> None:
    page = write(site, f"# Here\n\n{link}\n", "docs/how-to/page.md")
    (message,) = broken_links(page, site)
    assert message.startswith("docs/how-to/page.md:3: ")
    assert says in message


def test_pages_are_found_wherever_users_look(tmp_path: Path) -> None:
    for name in ("README.md", "docs/a/b.md", "services/ledger/README.md", "src/bedplate/state/runbook.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path, "# Page", name)
    found = [path.relative_to(tmp_path).as_posix() for path in pages(tmp_path)]
    assert found == ["README.md", "docs/a/b.md", "services/ledger/README.md"]


def test_a_block_knows_its_line_language_and_tags(tmp_path: Path) -> None:
    page = Page(
        write(tmp_path, "# T\n\n```Python no-run title=x\ncode\n```\n\n- item\n\n  ```console\n  $ ls\n  ```\n")
    )
    first, second = page.blocks
    assert (first.line, first.language, first.tags, first.text) == (4, "python", {"no-run", "title=x"}, "code\n")
    assert (second.line, second.language, second.text) == (10, "console", "$ ls\n")
