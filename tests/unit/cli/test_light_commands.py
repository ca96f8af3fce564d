"""A person who asks for help or for a token does not wait for what a service needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from bedplate.cli import app
app({arguments!r}, standalone_mode=False)
print(*sorted({{"fastapi", "jinja2", "numpy", "sqlalchemy", "uvicorn"}} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["check", "--help"], ["token", "alice"]], ids=lambda arguments: arguments[0]
)
def test_a_command_imports_no_more_than_it_needs(arguments: list[str]) -> None:
    script = SCRIPT.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout
    assert (done.returncode, done.stderr) == (0, "\n")
