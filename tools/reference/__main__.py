"""``python -m tools.reference``: write the reference pages, or with ``--check`` say which are out of date."""

from __future__ import annotations

import sys

from tools.reference import FOLDER, outdated, write


def main(arguments: list[str]) -> int:
    """Return the exit code: 1 when ``--check`` finds a page that is not what the code says."""
    if arguments == ["--check"]:
        stale = outdated()
        for name in stale:
            print(f"docs/reference/{name} is not what the code says. Run: make docs")
        return 1 if stale else 0
    if arguments:
        print("usage: python -m tools.reference [--check]", file=sys.stderr)
        return 2
    changed = write()
    print(f"{FOLDER.name}: {', '.join(changed) or 'nothing'} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
