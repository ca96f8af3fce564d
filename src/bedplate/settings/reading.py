"""One reading of all sources: what was found where, what is wrong with it, and which sections were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model

from bedplate.problems import Refusal
from bedplate.settings.faults import SettingsError, Unknown, closest, explain, mend
from bedplate.settings.fields import PREFIX, Declared, SettingPath, declared, decode
from bedplate.settings.layers import Found, Given, Layer, SecretFiles, Sources, Table, Variables
from bedplate.settings.secret import MASK

__all__ = ["ENVIRONMENT_VARIABLES", "Reading"]

#: Variables that say which environment this is, the strongest first.
ENVIRONMENT_VARIABLES = ("BEDPLATE_ENVIRONMENT", "BEDPLATE_ENV", "ENVIRONMENT")

#: Settings that say where to read the others, so that only the constructor and the environment can set them.
BOOTSTRAP = frozenset({("environment",), ("config",), ("secrets_dir",)})

M = TypeVar("M", bound=BaseModel)


class HiddenText(str):
    """A text on its way to pydantic whose ``repr`` is masked, in case somebody logs what a source returns."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


class Reading:
    """All sources at one moment; settings and their sections are views of it.

    :param given: what a constructor was given, nested as the sections are; the strongest.
    :param lenient: keep :attr:`faults` and go on with defaults, so that all can be reported at once.
    """

    def __init__(self, sources: Sources, given: Mapping[str, Any], *, lenient: bool = False) -> None:
        self.sources = sources
        self.given = dict(given)
        self.lenient = lenient
        self.faults: list[Refusal] = []
        self.found: dict[SettingPath, Found] = {}
        self.known: dict[SettingPath, Declared] = {}
        self.sections: dict[SettingPath, tuple[type[BaseModel], BaseModel]] = {}
        self.hooks: list[Callable[[str], None]] = []
        self.hidden: set[str] = set()
        self.environment = self._environment()
        self.layers = self._layers()
        self._quotable: set[str] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.found)} values>"  # the layers hold secrets

    def again(self) -> Reading:
        """Return a new reading of the same sources as they are now; whoever listens to secrets goes on listening."""
        return self._heir(Reading(self.sources, self.given, lenient=True))

    def pinned(self, values: Mapping[str, Any]) -> Reading:
        """Return a reading of the same moment in which these values, nested as the sections are, win over all."""
        reading = Reading(self.sources, self.given, lenient=True)
        reading.layers = (Given(values, "start"), *self.layers)
        return self._heir(reading)

    def _heir(self, reading: Reading) -> Reading:
        reading.hooks = self.hooks
        reading.hidden = self.hidden
        return reading

    def _environment(self) -> str:
        given = self.given.get("environment")
        if given is not None:
            return str(given)
        environ = self.sources.environ
        named = next((environ[name] for name in ENVIRONMENT_VARIABLES if environ.get(name)), "development")
        return named.strip().lower()

    def _layers(self) -> tuple[Layer, ...]:
        environ = self.sources.environ
        secrets = self.given.get("secrets_dir") or environ.get("BEDPLATE_SECRETS_DIR") or self.sources.secrets
        config = self.given.get("config") or environ.get("BEDPLATE_CONFIG")
        table = Path(config) if config else self.sources.directory / "bedplate.toml"
        layers: list[Layer] = [Given(self.given), Variables(environ), SecretFiles(environ, Path(secrets))]
        if self.environment == "development":
            layers.append(Variables.dotenv(self.sources.directory / ".env"))
        layers.append(Table(table, self.environment, required=bool(config)))
        return tuple(layers)

    def files(self) -> set[Path]:
        """Return every file and directory that this reading depends on, whether it exists or not."""
        return {path for layer in self.layers for path in layer.files()}

    def read(self, model: type[M], path: SettingPath, make: Callable[[dict[str, Any]], M]) -> M:
        """Return the model that ``make`` builds of what was found; when lenient, a stand-in where that fails.

        :raises SettingsError: with every fault, unless lenient.
        """
        before = len(self.faults)
        raw = self._collect(model, path)
        self.faults.extend(fault for layer in self.layers for fault in layer.faults() if fault not in self.faults)
        try:
            value = make(raw)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            for item in errors:
                location = (*path, *(str(key) for key in item["loc"]))
                subject = ".".join(path) or model.__name__
                self.faults.append(explain(item, location, subject, self.known, self.found, self._quotable))
            value = _stand_in(model, raw, [tuple(map(str, item["loc"])) for item in errors])
        if self.faults[before:] and not self.lenient:
            raise SettingsError(self.faults[before:])
        return value

    def _collect(self, model: type[BaseModel], path: SettingPath) -> dict[str, Any]:
        raw: dict[str, Any] = {}
        if not path:
            raw.update({key: value for key, value in self.given.items() if _is_stray(model, key, value)})
        for setting in declared(model, path):
            self.known[setting.path] = setting
            self.faults.extend(self._contradictions(setting))
            found = self._find(setting)
            if found is None:
                continue
            if setting.secret and isinstance(found.value, str):
                self._quotable.add(found.value)
            try:
                value = decode(setting.field.annotation, found.value) if found.text else found.value
            except ValueError as error:
                self.faults.append(Refusal(setting.variable, f"{error}.", mend(setting)))
                continue
            if setting.path == ("environment",):
                value = self.environment
            self.found[setting.path] = found
            node = raw
            for key in setting.path[len(path) : -1]:
                node = node.setdefault(key, _preset(model, key) if node is raw else {})
            node[setting.path[-1]] = HiddenText(value) if setting.secret and isinstance(value, str) else value
        return raw

    def _contradictions(self, setting: Declared) -> Iterator[Refusal]:
        environ = self.sources.environ
        for name in setting.env:
            if environ.get(name) and environ.get(f"{name}_FILE"):
                yield Refusal(name, f"is set, and so is {name}_FILE.", "Keep one of them.")

    def _find(self, setting: Declared) -> Found | None:
        layers = self.layers[:2] if setting.path in BOOTSTRAP else self.layers
        return next((found for layer in layers if (found := layer.find(setting)) is not None), None)

    def hide(self, text: str) -> None:
        """Remember a text that must not be seen, and tell the hooks of it."""
        if text and text not in self.hidden:
            self.hidden.add(text)
            for hook in self.hooks:
                hook(text)

    def unknown(self) -> Iterator[Unknown]:
        """Yield every variable with one of our prefixes, and every key of ``bedplate.toml``, that is no setting."""
        settings = self.known.values()
        variables = {name for setting in settings for name in setting.env}
        prefixes = {PREFIX, *(s.env[0].removesuffix("__".join(s.path).upper()) for s in settings)} - {""}
        for layer in self.layers:
            for name, origin in layer.names():
                if layer.dotted:
                    keys = [setting.table if isinstance(layer, Table) else setting.path for setting in settings]
                    known = {".".join(key[:size]) for key in keys for size in range(1, len(key) + 1)}
                    inside = tuple(".".join(key) + "." for key in keys)
                    if name not in known and not name.startswith(inside):
                        yield Unknown(name, origin, closest(name, known))
                elif name.upper().startswith(tuple(prefixes)) and variables.isdisjoint(
                    {name, name.removesuffix("_FILE")}
                ):
                    yield Unknown(name, origin, closest(name.upper(), variables))


def _is_stray(model: type[BaseModel], key: str, value: object) -> bool:
    """Say whether a constructor's argument is neither a field nor a section; pydantic then refuses it."""
    return key not in model.model_fields and not isinstance(value, (Mapping, BaseModel))


def _preset(model: type[BaseModel], key: str) -> dict[str, Any]:
    """Return what a nested model is by default, for the fields that no source sets."""
    info = model.model_fields.get(key)
    default = info.default if info is not None else None
    return {name: getattr(default, name) for name in default.model_fields_set} if isinstance(default, BaseModel) else {}


def _stand_in(model: type[M], raw: dict[str, Any], locations: list[tuple[str, ...]]) -> M:
    """Return the model with defaults in the place of what is wrong, and None where there is no default.

    Nothing runs with it: it lets a service be built, so that the faults of its other sections are found as well.
    """
    for location in locations:
        _drop(raw, location)
    bare: dict[str, Any] = {
        name: (Any, None) for name, info in model.model_fields.items() if info.is_required() and name not in raw
    }
    relaxed: type[M] = create_model(model.__name__, __base__=model, **bare)
    value = relaxed.__new__(relaxed)
    try:
        BaseModel.__init__(value, **raw)
    except ValidationError:
        defaults = {name: info.get_default(call_default_factory=True) for name, info in model.model_fields.items()}
        value = relaxed.model_construct(**{**defaults, **dict.fromkeys(bare)})
    return value


def _drop(raw: dict[str, Any], location: tuple[str, ...]) -> None:
    """Remove the deepest part of a location that lies in nested dicts."""
    trail: list[tuple[dict[str, Any], str]] = []
    node: Any = raw
    for key in location:
        if not isinstance(node, dict) or key not in node:
            break
        trail.append((node, key))
        node = node[key]
    if trail:
        parent, key = trail[-1]
        del parent[key]
