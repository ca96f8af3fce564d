"""Which service something belongs to, in a process of several."""

from __future__ import annotations

from contextvars import copy_context

from bedplate.telemetry.attached import Attached


def test_without_a_mark_the_first_one_is_meant() -> None:
    attached: Attached[str] = Attached("test_first")
    assert attached.present() is None
    assert attached.attach("one") is True
    assert attached.attach("two") is False
    assert attached.present() == "one"


def test_a_mark_holds_in_its_context_only_and_only_while_its_owner_runs() -> None:
    attached: Attached[str] = Attached("test_mark")
    one, two = "one", "two"
    attached.attach(one)
    attached.attach(two)

    def marked() -> str | None:
        attached.mark(two)
        return attached.present()

    context = copy_context()
    assert context.run(marked) == "two"
    assert attached.present() == "one"
    assert attached.detach(two) is False
    assert context.run(attached.present) == "one"
    assert attached.detach(one) is True
    assert attached.present() is None
