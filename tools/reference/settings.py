"""``settings.md``: every setting of the settings class and of each section."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from bedplate.service import Service
from bedplate.settings import RULES, Declared, Section
from tools.reference.subjects import library, services
from tools.reference.text import GENERATED, code, one_line, table

__all__ = ["page"]

_INTRODUCTION = """# Settings

Every setting with the variables that set it, the strongest first. `NAME_FILE=/path` reads the value of `NAME` from a
file. In `bedplate.toml` a setting stands by its name, a section is a table. *Reload* says that a change takes effect
while the service runs. How sources are ordered, and what production refuses, is told in
[settings and secrets](../how-to/settings-and-secrets.md).
"""


def page() -> str:
    """Return the page."""
    # The same setting below another class has other variables.
    known = {_known(declared) for declared in _declared(library())}
    parts = [GENERATED, _INTRODUCTION]
    for title, service in services().items():
        declared = [item for item in _declared(service) if service is library() or _known(item) not in known]
        if not declared:
            continue
        parts.append(f"## {title}\n")
        for section, items in groupby(sorted(declared, key=_section), key=_section):
            parts.append(f"### {section or 'general'}\n")
            parts.append(_about(service, section) + _table(items))
    parts.append("## What production refuses\n")
    parts.append(
        "Each rule can be accepted by its name, in `BEDPLATE_ALLOW`; staging warns of the same. Components refuse "
        "further things.\n"
    )
    parts.append(table(("Rule", "Refuses"), [(code(rule.name), rule.summary) for rule in RULES]))
    return "\n".join(parts)


def _known(declared: Declared) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(declared.path), tuple(declared.env)


def _declared(service: Service) -> list[Declared]:
    assert service.components  # sections are asked for when the built-in components are made
    return [setting.declared for setting in service.settings.values()]


def _section(declared: Declared) -> str:
    return ".".join(declared.path[:-1])


def _about(service: Service, section: str) -> str:
    models = {
        type(settings)
        for component in service.components
        if isinstance(settings := component.spec.settings, Section) and component.spec.kind == section
    }
    return "".join(f"{one_line(model.__doc__)}\n\n" for model in models)


def _table(items: Iterable[Declared]) -> str:
    heads = ("Name", "Variables", "Expects", "Default", "Reload", "What it does")
    return table(heads, map(_row, items))


def _row(declared: Declared) -> Sequence[str]:
    variables = ", ".join(map(code, declared.env))
    default = "required" if declared.required else declared.default
    hidden = " Credentials in it are never shown." if declared.expects == "URL" else " Never shown."
    said = one_line(declared.doc) + (hidden if declared.secret else "")
    return code(declared.path[-1]), variables, declared.expects, default, "yes" if declared.reloadable else "", said
