"""Secrets that rotate, the files they live in, and files that are still being written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.clock import SystemClock
from bedplate.settings import RotatingSecret, Secret, SecretFile, SettingsError
from bedplate.settings.watch import Watch


class HandClock(SystemClock):
    """A clock whose monotonic time is set by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


OLD, NEW, NEWER = "old-secret-value", "new-secret-value", "newer-secret-value"


class TestRotatingSecret:
    def test_both_are_good_during_the_overlap_and_only_then(self) -> None:
        clock = HandClock()
        secret = RotatingSecret(OLD, overlap=60, clock=clock)
        assert secret.accepts(OLD)
        assert not secret.accepts(NEW)
        assert secret.rotate(NEW)
        assert (secret.current.reveal(), secret.previous) == (NEW, Secret(OLD))
        assert secret.accepts(NEW)
        assert secret.accepts(OLD.encode())
        assert secret.values() == (Secret(NEW), Secret(OLD))
        clock.now += 60
        assert not secret.accepts(OLD)
        assert secret.accepts(NEW)
        assert secret.previous is None
        assert secret.values() == (Secret(NEW),)

    def test_uses_of_the_previous_secret_are_counted(self) -> None:
        secret = RotatingSecret(OLD)
        secret.rotate(NEW)
        for candidate in (OLD, NEW, OLD, "other"):
            secret.accepts(candidate)
        assert secret.previous_uses == 2

    def test_a_second_rotation_ends_the_oldest(self) -> None:
        secret = RotatingSecret(OLD)
        secret.rotate(NEW)
        secret.rotate(NEWER)
        assert [secret.accepts(text) for text in (OLD, NEW, NEWER)] == [False, True, True]

    def test_rotating_to_the_same_is_no_rotation(self) -> None:
        secret = RotatingSecret(OLD)
        secret.rotate(NEW)
        assert not secret.rotate(NEW)
        assert (secret.rotations, secret.previous) == (1, Secret(OLD))

    def test_an_empty_secret_is_never_accepted(self) -> None:
        secret = RotatingSecret(OLD)
        assert not secret.accepts("")
        with pytest.raises(ValueError, match="let everybody in"):
            secret.rotate("")

    def test_no_overlap(self) -> None:
        secret = RotatingSecret(OLD, overlap=0)
        secret.rotate(NEW)
        assert not secret.accepts(OLD)

    def test_a_predecessor_known_at_start(self) -> None:
        clock = HandClock()
        secret = RotatingSecret(NEW, previous=OLD, overlap=60, clock=clock)
        assert secret.accepts(OLD)
        assert secret.rotations == 0
        clock.now += 61
        assert not secret.accepts(OLD)

    def test_subscribers_hear_of_rotations_until_they_leave(self) -> None:
        secret, heard = RotatingSecret(OLD), list[str]()
        leave = secret.subscribe(lambda value: heard.append(value.reveal()))
        secret.rotate(NEW)
        leave()
        secret.rotate(NEWER)
        assert heard == [NEW]

    def test_it_is_not_shown(self) -> None:
        assert OLD not in repr(RotatingSecret(OLD, name="webhook"))

    @given(st.lists(st.text(min_size=1), min_size=1, max_size=6), st.text())
    def test_exactly_the_last_two_values_are_accepted(self, values: list[str], other: str) -> None:
        secret = RotatingSecret(values[0])
        distinct = [values[0]]
        for value in values[1:]:
            secret.rotate(value)
            if value != distinct[-1]:
                distinct.append(value)
        for candidate in {*values, other}:
            assert secret.accepts(candidate) == (candidate in distinct[-2:])


def replaced(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def linked(path: Path, text: str) -> None:
    """As the kubelet does it: write beside, then swap one link."""
    target = path.parent / f"..{len(list(path.parent.iterdir()))}"
    target.mkdir()
    (target / "value").write_text(text)
    link = path.parent / "..tmp"
    link.symlink_to(target / "value")
    os.replace(link, path)


class TestSecretFile:
    @pytest.mark.parametrize("write", [replaced, in_place, linked])
    def test_a_change_is_taken_once_it_has_come_to_rest(
        self, tmp_path: Path, write: Callable[[Path, str], None]
    ) -> None:
        path = tmp_path / "webhook"
        write(path, OLD + "\n")
        secret = SecretFile(path)
        assert (secret.name, secret.current.reveal()) == ("webhook", OLD)
        assert not secret.refresh()
        write(path, NEW + "\n")
        assert [secret.refresh(), secret.refresh(), secret.refresh()] == [False, True, False]
        assert secret.current.reveal() == NEW
        assert secret.accepts(OLD)

    def test_now_does_not_wait(self, tmp_path: Path) -> None:
        path = tmp_path / "webhook"
        path.write_text(OLD)
        secret = SecretFile(path)
        assert secret.current.reveal() == OLD
        path.write_text(NEW)
        assert secret.refresh(now=True)

    def test_while_somebody_writes_nothing_is_taken(self, tmp_path: Path) -> None:
        path = tmp_path / "webhook"
        path.write_text(OLD)
        secret = SecretFile(path)
        assert secret.current.reveal() == OLD
        for size in range(1, len(NEW) + 1):
            path.write_text(NEW[:size])
            assert not secret.refresh()
        assert secret.refresh()
        assert secret.current.reveal() == NEW

    @pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xff", b"x" * 70_000, None])
    def test_a_bad_file_keeps_the_last_good_secret_and_says_so(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "webhook"
        path.write_text(OLD)
        secret = SecretFile(path)
        assert secret.current.reveal() == OLD
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        assert not secret.refresh(now=True)
        assert str(path) in secret.fault
        assert secret.accepts(OLD)
        path.write_text(NEW)
        assert secret.refresh(now=True)
        assert secret.fault == ""

    def test_the_same_content_written_again_is_no_rotation(self, tmp_path: Path) -> None:
        path = tmp_path / "webhook"
        path.write_text(OLD)
        secret = SecretFile(path)
        assert secret.current.reveal() == OLD
        replaced(path, OLD)
        assert not secret.refresh(now=True)
        assert secret.rotations == 0

    def test_a_file_that_was_never_there_is_refused(self, tmp_path: Path) -> None:
        secret = SecretFile(tmp_path / "webhook")
        with pytest.raises(SettingsError, match="webhook: cannot be read: No such file"):
            secret.accepts("x")
        (tmp_path / "webhook").write_text(OLD)
        assert secret.accepts(OLD)


class TestWatch:
    def test_a_change_counts_at_the_second_look_that_sees_it(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        watch = Watch([path])
        assert watch.look() == "same"
        path.write_text("1")
        assert [watch.look(), watch.look()] == ["moving", "changed"]
        watch.taken([path])
        path.write_text("22")
        assert watch.look() == "moving"
        path.write_text("333")
        assert [watch.look(), watch.look()] == ["moving", "changed"]

    def test_a_change_taken_back_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        watch = Watch([path])
        path.write_text("1")
        assert watch.look() == "moving"
        path.unlink()
        assert [watch.look(), watch.look()] == ["same", "same"]

    def test_files_in_a_directory_count(self, tmp_path: Path) -> None:
        watch = Watch([tmp_path])
        (tmp_path / "new").write_text("1")
        assert [watch.look(), watch.look()] == ["moving", "changed"]
        watch.taken([tmp_path])
        (tmp_path / "new").write_text("22")
        assert watch.look() == "moving"
