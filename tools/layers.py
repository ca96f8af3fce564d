"""Imports point one way: each module of Bedplate stands on lower layers only, and none knows a service.

The table is ``[tool.bedplate.layers]`` in pyproject.toml: ``order`` lists the layers from the lowest to the highest,
``siblings`` names the modules of its own layer that a module may use, and ``services`` the services that a service
may use. Imports under ``TYPE_CHECKING`` and inside functions count like any other: a dependency in types or at run
time is a dependency. ``bedplate/__init__.py`` gathers the public names, so it may import anything that is not above
the library, and nothing inside may import from it.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.finding import Finding

__all__ = ["Layers", "check"]

PACKAGE = "bedplate"


@dataclass(frozen=True, slots=True)
class Layers:
    """The table of layers, lowest first."""

    order: Sequence[Sequence[str]]
    siblings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    services: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, pyproject: Path) -> Layers:
        """Read the table; raise ``KeyError`` when there is none."""
        return cls(**tomllib.loads(pyproject.read_text())["tool"]["bedplate"]["layers"])

    def level(self, module: str) -> int | None:
        """Return the height of a module of Bedplate, or None when the table does not list it."""
        return next((height for height, layer in enumerate(self.order) if module in layer), None)

    def fault(self, importer: str, imported: str) -> str | None:
        """Say why ``bedplate.<importer>`` may not import ``bedplate.<imported>``; None when it may."""
        here, there = self.level(importer), self.level(imported)
        if importer == imported or here is None or there is None:
            return None
        if there > here:
            return (
                f"{PACKAGE}.{importer} (layer {here + 1}) may not import {PACKAGE}.{imported} (layer {there + 1}): "
                "imports point downwards. Move what both need to a lower layer, or pass it in."
            )
        if there == here and imported not in self.siblings.get(importer, ()):
            return (
                f"{PACKAGE}.{importer} and {PACKAGE}.{imported} are siblings and do not import each other. Move what "
                "both need to a lower layer, or allow it in [tool.bedplate.layers.siblings] if it is no cycle."
            )
        return None


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import in a module that belongs to ``package``.

    ``from a.b import c`` yields ``a.b.c``, since ``c`` may be a module; a relative import is made absolute.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def check(root: Path, layers: Layers | None = None) -> Iterator[Finding]:
    """Yield each import of Bedplate and its services that points the wrong way."""
    layers = layers or Layers.read(root / "pyproject.toml")
    services = {path.name: path for path in sorted(root.glob("services/*/src/*")) if path.is_dir()}
    for path in sorted((root / "src" / PACKAGE).rglob("*.py")):
        yield from _library_file(path, root, layers, services)
    for service, folder in services.items():
        others = set(services) - {service, *layers.services.get(service, ())}
        for path in sorted(folder.rglob("*.py")):
            for line, name in _imports_of(path, folder.parent):
                if (top := name.partition(".")[0]) in others:
                    yield Finding(
                        path.relative_to(root).as_posix(),
                        line,
                        f"the service {service} may not import the service {top}: services share Bedplate only.",
                    )


def _imports_of(path: Path, source: Path) -> Iterator[tuple[int, str]]:
    package = ".".join(path.relative_to(source).parent.parts)
    return imports(ast.parse(path.read_bytes(), filename=str(path)), package)


def _library_file(path: Path, root: Path, layers: Layers, services: Mapping[str, Path]) -> Iterator[Finding]:
    name = path.relative_to(root).as_posix()
    module = path.relative_to(root / "src" / PACKAGE).parts[0].removesuffix(".py")
    if module != "__init__" and layers.level(module) is None:
        yield Finding(name, 1, f"{PACKAGE}.{module} stands in no layer: add it to [tool.bedplate.layers].")
        return
    reported: set[tuple[int, str]] = set()  # `from a import b, c` is one import of a
    for line, imported in _imports_of(path, root / "src"):
        message = _library_fault(module, imported, layers, services)
        if message and (line, message) not in reported:
            reported.add((line, message))
            yield Finding(name, line, message)


def _library_fault(module: str, imported: str, layers: Layers, services: Mapping[str, Path]) -> str | None:
    top, *rest = imported.split(".")
    if top in services:
        return f"{PACKAGE} may not import the service {top}: services stand on it, not under it."
    if top != PACKAGE:
        return None
    target = rest[0] if rest else ""
    if module == "__init__":
        if target in layers.order[-1]:
            return f"the package root may not import {PACKAGE}.{target}, which stands above it."
        return None
    if layers.level(target) is None:
        return f"import from the module that defines it, not from the package root ({imported})."
    return layers.fault(module, target)
