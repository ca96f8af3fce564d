"""``bedplate render``: the files of everything that watches services."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli.output import EXIT_FAULTS, faults, print_json
from bedplate.problems import BedplateError
from bedplate.render.options import Options

if TYPE_CHECKING:
    from bedplate.render import Container, Subject
    from bedplate.service import Process, Service

__all__ = ["render", "subjects_of"]

_DEFAULTS = Options()


def render(
    targets: Annotated[list[str], typer.Argument(help="module:attribute of each service or process.")],
    out: Annotated[Path, typer.Option(help="The folder that the files are written to.")] = Path("deploy"),
    check: Annotated[bool, typer.Option("--check", help="Only compare, and name each file that differs.")] = False,
    time_scale: Annotated[
        float, typer.Option(help="A factor for every time in rules and panels; 0.02 makes 5 minutes 6 seconds.")
    ] = 1.0,
    scrape_target: Annotated[
        list[str] | None,
        typer.Option(help="host:port that Prometheus scrapes, or service=host:port; may be given several times."),
    ] = None,
    scrape_token_file: Annotated[
        str, typer.Option(help="The scraper's token as Prometheus sees it; empty when none is asked for.")
    ] = _DEFAULTS.token_file,
    grafana_url: Annotated[str, typer.Option(help="Where people reach Grafana.")] = _DEFAULTS.grafana_url,
    runbook_url: Annotated[
        str, typer.Option(help="Where people reach the folder runbooks; by default they are pages of Grafana.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write what Prometheus, Alertmanager, Grafana, Loki, Alloy and Compose need to watch services.

    Everything is derived from what components declare. Files that were rendered before and are no longer are removed.
    The exit status is 0, with --check 1 when a file differs, and 2 when it cannot be rendered.
    """
    from bedplate.render import compare, write
    from bedplate.render import render as rendered
    from bedplate.service.loading import load

    with faults(as_json):
        options = Options(
            time_scale=time_scale,
            targets=_targets(scrape_target or ()),
            token_file=scrape_token_file,
            grafana_url=grafana_url,
            runbook_url=runbook_url,
        )
        subjects = [each for target in targets for each in subjects_of(load(target), target, out)]
        _refuse_unknown(options.targets, subjects)
        files = rendered(subjects, options)
        differences = compare(files, out) if check else write(files, out)
    if as_json:
        changes = [{"path": each.path, "kind": each.kind} for each in differences]
        print_json({"ok": not (check and differences), "files": len(files), "changes": changes})
    else:
        for each in differences:
            typer.echo(f"{out / each.path}: {each.kind if check else _done(each.kind)}", err=check)
        state = "differ from what components declare" if check else "changed"
        typer.echo(f"{out}: {len(differences)} of {len(files)} files {state}", err=check and bool(differences))
    if check and differences:
        raise typer.Exit(EXIT_FAULTS)


def subjects_of(built: Service | Process, target: str, out: Path, here: Path | None = None) -> list[Subject]:
    """Return what is rendered of a service, or of each service of a process.

    :param target: what it was loaded from. :param out: where the files go. :param here: the folder that images are
        built from, by default the working directory.
    """
    from bedplate.render import Container
    from bedplate.service import Process

    services = built.services if isinstance(built, Process) else (built,)
    name = services[0].name if len(services) == 1 else "services"
    here = (here or Path.cwd()).resolve()
    container = Container(
        name=name,
        target=target,
        packages=_packages(target, here),
        context=Path(os.path.relpath(here, out)).as_posix(),
        folder=Path(os.path.relpath(out, here)).as_posix(),
    )
    return [
        _subject(service, container, f"/{service.name}" if isinstance(built, Process) else "") for service in services
    ]


def _subject(service: Service, container: Container, root: str) -> Subject:
    from bedplate.render import Subject

    builtins = service.builtins
    common = {component.spec.key for component in (*builtins.before(), *builtins.after())}
    specs = tuple(component.spec for component in service.components)
    return Subject(
        name=service.name,
        specs=specs,
        container=container,
        own=frozenset(spec.key for spec in specs) - common,
        root=root,
        prefix=builtins.settings.management_prefix,
    )


def _packages(target: str, here: Path) -> tuple[str, ...]:
    """Return the folders below ``here`` to install in an image: those of Bedplate and of the target, if they are."""
    found: dict[str, None] = {}
    for module in ("bedplate", target.partition(":")[0]):
        file = getattr(sys.modules.get(module), "__file__", None)
        above = Path(file).resolve().parents if file else ()
        project = next((folder for folder in above if (folder / "pyproject.toml").exists()), None)
        if project is not None and project.is_relative_to(here):
            relative = project.relative_to(here).as_posix()
            found["." if relative == "." else f"./{relative}"] = None
    return tuple(found)


def _targets(given: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for text in given:
        service, equals, address = text.rpartition("=")
        host, colon, port = address.rpartition(":")
        if not host or not colon or not port.isdigit() or (equals and not service):
            raise BedplateError(f"{text!r} is no scrape target.", "Write host:port, or service=host:port.")
        found[service].append(address)
    return {service: tuple(addresses) for service, addresses in found.items()}


def _refuse_unknown(targets: Iterable[str], subjects: Sequence[Subject]) -> None:
    known = {subject.name for subject in subjects}
    for name in targets:
        if name and name not in known:
            raise BedplateError(
                f"A scrape target is given for {name!r}, which is not rendered.",
                f"There are: {', '.join(sorted(known))}.",
            )


def _done(kind: str) -> str:
    return {"missing": "written", "differs": "changed", "left over": "removed"}[kind]
