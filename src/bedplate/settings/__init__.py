"""Settings: read from the environment, secret files and ``bedplate.toml``, validated together, never printed."""

from bedplate.settings.core import Settings, masked
from bedplate.settings.faults import SettingsError, Unknown
from bedplate.settings.fields import Declared, describe, key_values
from bedplate.settings.layers import Sources
from bedplate.settings.markers import Env, Issued, RefuseIf, Reloadable, RequiredInProduction, Seconds, Section
from bedplate.settings.rules import RULES, Rule, Setting
from bedplate.settings.secret import Dsn, Secret, schemes

__all__ = [
    "RULES",
    "Declared",
    "Dsn",
    "Env",
    "Issued",
    "RefuseIf",
    "Reloadable",
    "RequiredInProduction",
    "Rule",
    "Seconds",
    "Secret",
    "Section",
    "Setting",
    "Settings",
    "SettingsError",
    "Sources",
    "Unknown",
    "describe",
    "key_values",
    "masked",
    "schemes",
]
