"""Files on disk: what changed is written, what is no longer rendered goes, what others put there stays."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bedplate.render import compare, write
from bedplate.render.files import MANIFEST, with_manifest


def kinds(folder: Path, files: dict[str, str]) -> list[str]:
    return [str(each) for each in compare(files, folder)]


def test_writing_makes_the_folder_what_is_rendered(tmp_path: Path) -> None:
    files = with_manifest({"a/b.yml": "b: 1\n", "c.md": "é\n"})
    assert kinds(tmp_path / "new", files) == ["a/b.yml: missing", "c.md: missing", f"{MANIFEST}: missing"]
    write(files, tmp_path / "new")
    assert kinds(tmp_path / "new", files) == []
    assert (tmp_path / "new" / "c.md").read_bytes() == "é\n".encode()
    assert stat.S_IMODE((tmp_path / "new" / "c.md").stat().st_mode) == 0o644
    assert write(files, tmp_path / "new") == []


def test_only_what_differs_is_named_and_written(tmp_path: Path) -> None:
    files = with_manifest({"a.yml": "1\n", "b.yml": "2\n"})
    write(files, tmp_path)
    (tmp_path / "b.yml").write_text("3\n")
    before = (tmp_path / "a.yml").stat().st_ino
    assert kinds(tmp_path, files) == ["b.yml: differs"]
    assert [str(each) for each in write(files, tmp_path)] == ["b.yml: differs"]
    assert (tmp_path / "a.yml").stat().st_ino == before


def test_what_is_rendered_no_longer_goes_and_what_others_wrote_stays(tmp_path: Path) -> None:
    write(with_manifest({"old/a.json": "1", "old/b.json": "2", "keep.md": "k"}), tmp_path)
    (tmp_path / "old" / "mine.json").write_text("mine")
    (tmp_path / "other.yml").write_text("other")
    files = with_manifest({"keep.md": "k"})
    assert kinds(tmp_path, files) == ["old/a.json: left over", "old/b.json: left over", f"{MANIFEST}: differs"]
    write(files, tmp_path)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == [
        "keep.md", "old/mine.json", "other.yml", MANIFEST,
    ]  # fmt: skip


def test_folders_that_become_empty_go_too(tmp_path: Path) -> None:
    write(with_manifest({"a/b/c.json": "1"}), tmp_path)
    write(with_manifest({}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


@pytest.mark.parametrize("path", ["../precious", "/{outside}", "a/../../precious"])
def test_a_list_that_was_tampered_with_removes_nothing_elsewhere(tmp_path: Path, path: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("gold")
    folder = tmp_path / "deploy"
    write(with_manifest({"a.md": "a"}), folder)
    (folder / MANIFEST).write_text(path.replace("/{outside}", str(precious)) + "\n")
    write(with_manifest({"a.md": "a"}), folder)
    assert precious.read_text() == "gold"
