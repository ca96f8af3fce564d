"""Settings: read from the environment, secret files and ``bedplate.toml``, validated together, never printed."""

from bedplate.settings.core import Settings, masked
from bedplate.settings.faults import SettingsError, Unknown
from bedplate.settings.fields import Declared, describe, key_values
from bedplate.settings.layers import Sources
from bedplate.settings.live import LiveSettings, Reload
from bedplate.settings.markers import Env, Issued, RefuseIf, Reloadable, RequiredInProduction, Seconds, Section
from bedplate.settings.metrics import VALUE
from bedplate.settings.reloader import ReloaderSettings, SettingsReloader
from bedplate.settings.rotation import RotatingSecret, SecretFile
from bedplate.settings.rules import RULES, Rule, Setting
from bedplate.settings.secret import Dsn, Secret, schemes

__all__ = [
    "RULES",
    "VALUE",
    "Declared",
    "Dsn",
    "Env",
    "Issued",
    "LiveSettings",
    "RefuseIf",
    "Reload",
    "Reloadable",
    "ReloaderSettings",
    "RequiredInProduction",
    "RotatingSecret",
    "Rule",
    "Seconds",
    "Secret",
    "SecretFile",
    "Section",
    "Setting",
    "Settings",
    "SettingsError",
    "SettingsReloader",
    "Sources",
    "Unknown",
    "describe",
    "key_values",
    "masked",
    "schemes",
]
