"""What is wrong with settings, in sentences that name the variable and the mend, and never show a secret."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pydantic_core import ErrorDetails

from bedplate.problems import BedplateError, Refusal, RefusedError
from bedplate.settings.fields import Declared
from bedplate.settings.layers import CONSTRUCTOR, Found

__all__ = ["SettingsError", "Unknown", "closest", "explain", "mend"]

#: How much of a wrong value is quoted, in characters.
MAX_SHOWN = 60


class SettingsError(RefusedError):
    """Settings with which a service may not start; :attr:`refusals` lists every fault, and so does the message."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        unique = tuple(dict.fromkeys(refusals))
        noun = "fault" if len(unique) == 1 else "faults"
        lines = "\n".join(f"  - {refusal}" for refusal in unique)
        BedplateError.__init__(self, f"The settings are not valid: {len(unique)} {noun}.\n{lines}")
        self.refusals = unique


@dataclass(frozen=True, slots=True)
class Unknown:
    """A name that no setting goes by: a typing error, or a setting that no longer exists."""

    name: str
    origin: str
    suggestion: str = ""

    def __str__(self) -> str:
        hint = f" Did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.name} ({self.origin}) is not a setting.{hint}"


def explain(
    error: ErrorDetails,
    location: tuple[str, ...],
    subject: str,
    known: Mapping[tuple[str, ...], Declared],
    found: Mapping[tuple[str, ...], Found],
    hidden: Collection[str],
) -> Refusal:
    """Return what pydantic found, in terms of variables and files.

    :param location: the path of the value, section included. :param subject: what is at fault when it is no value.
    :param hidden: texts that a validator may have quoted and that must not be shown.
    """
    sizes = range(len(location), 0, -1)
    setting = next((known[location[:size]] for size in sizes if location[:size] in known), None)
    if setting is None:
        name = ".".join(location) or subject
        if error["type"] == "extra_forbidden":
            return Refusal(name, "is not a setting.", "Remove it, or mend the name.")
        return Refusal(name, f"{_message(error, hidden)}.", "Mend the settings that it names.")
    where = found.get(setting.path)
    if where is None and error["type"] == "missing":
        file = f", or {setting.variable}_FILE to the path of a file that holds it" if setting.secret else ""
        return Refusal(setting.variable, "is missing.", f"Set it{file}.{_about(setting)}")
    what = _message(error, hidden)
    if where is not None and not setting.discreet:
        text = setting.show(where.value)
        quoted = repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")
        what = f"{what}, not {quoted}" if what.startswith("should be") else f"is {quoted}: {what}"
    return Refusal(_subject(setting, where), f"{what}.", mend(setting))


def mend(setting: Declared) -> str:
    """Return what the setting expects, its default and what it is for."""
    default = "" if setting.required else f"; unset, it is {setting.default}"
    return f"Expected: {setting.expects}{default}.{_about(setting)}"


def closest(name: str, candidates: Iterable[str]) -> str:
    """Return the candidate that the name was probably meant to be, or an empty string."""
    matches = difflib.get_close_matches(name, candidates, n=1, cutoff=0.75)
    return matches[0] if matches else ""


def _subject(setting: Declared, where: Found | None) -> str:
    if where is None:
        return setting.variable
    if where.origin == CONSTRUCTOR:
        return setting.name
    return where.origin.removeprefix("environment ")


def _about(setting: Declared) -> str:
    return f" {setting.doc}" if setting.doc else ""


def _message(error: ErrorDetails, hidden: Collection[str]) -> str:
    message = error["msg"].rstrip(".")
    if any(text in message for text in hidden):
        return "holds a value that is not accepted"
    if error["type"] in ("value_error", "assertion_error"):
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")  # a validator's own words
    message = message.partition(", unable to parse")[0].removeprefix("Input ")
    return message[:1].lower() + message[1:]
