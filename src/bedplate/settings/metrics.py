"""What the settings say of themselves: metrics, alerts and panels of the ``settings`` component."""

from __future__ import annotations

from pathlib import Path

from bedplate.declarations import Alert, Panel, Runbook, Series
from bedplate.metric import Counter, Gauge
from bedplate.settings.layers import ENVIRONMENTS

__all__ = ["ALERTS", "METRICS", "PANELS", "RUNBOOK", "VALUE"]

RELOADS = Counter(
    "bedplate_settings_reloads_total",
    "Times that the settings were read again, by what came of it.",
    {"outcome": ("applied", "unchanged", "restart", "refused")},
)
SUCCESSFUL = Gauge(
    "bedplate_settings_last_reload_successful",
    "1 when the last reload was taken, 0 when it was refused and the last good settings stay.",
    merge="min",
)
VERSION = Gauge("bedplate_settings_version", "How many snapshots of the settings have been in force.", merge="min")
LOADED = Gauge(
    "bedplate_settings_loaded_timestamp_seconds",
    "When the snapshot in force was loaded, the oldest of all processes.",
    unit="seconds",
    merge="min",
)
WAITING = Gauge(
    "bedplate_settings_waiting_for_restart", "Settings that were changed and wait for a restart.", merge="max"
)
INFO = Gauge(
    "bedplate_settings_info",
    "1 for the environment that the service runs in.",
    {"environment": ENVIRONMENTS},
    merge="max",
)
#: A setting that may change at run time, for expressions: ``f"{SIZE} > on() {VALUE(name='queue.limit')}"``.
VALUE = Gauge(
    "bedplate_settings_value",
    "The value in force of each numeric setting that may change at run time.",
    {"name": 200},
    merge="last",
)
ROTATIONS = Counter("bedplate_settings_secret_rotations_total", "Rotations of a secret.", {"name": 50})
PREVIOUS_USES = Counter(
    "bedplate_settings_secret_previous_uses_total",
    "Times that the previous secret was accepted during its overlap.",
    {"name": 50},
)
UNREADABLE = Gauge(
    "bedplate_settings_secret_unreadable",
    "1 when a secret's file cannot be read and the last good secret stays.",
    {"name": 50},
    merge="max",
)

METRICS = (RELOADS, SUCCESSFUL, VERSION, LOADED, WAITING, INFO, VALUE, ROTATIONS, PREVIOUS_USES, UNREADABLE)

ALERTS = (
    Alert(
        name="SettingsReloadRefused",
        expr=f"{SUCCESSFUL} == 0",
        for_="1m",
        summary="A change of the settings was refused; the next restart will fail.",
        fires=(Series(str(SUCCESSFUL), "1 0x10"),),
        quiet=(Series(str(SUCCESSFUL), "1x10"),),
    ),
    Alert(
        name="SettingsRestartNeeded",
        expr=f"{WAITING} > 0",
        for_="15m",
        severity="info",
        summary="Settings were changed that the service takes only at its next start.",
        fires=(Series(str(WAITING), "0 2x30"),),
        quiet=(Series(str(WAITING), "2x10 0x30"),),
    ),
    Alert(
        name="SettingsSecretUnreadable",
        expr=f"max by (name) ({UNREADABLE}) == 1",
        for_="2m",
        summary="The file of a secret cannot be read; the service runs on the last good one and could not start.",
        fires=(Series(str(UNREADABLE(name="webhook")), "0 1x10"),),
        quiet=(Series(str(UNREADABLE(name="webhook")), "1 0x10"),),
    ),
)

PANELS = (
    Panel(title="Settings reloads", expr=f"sum by (outcome) (increase({RELOADS}[1h]))", kind="bar"),
    Panel(title="Settings that may change at run time", expr=str(VALUE), kind="table"),
    Panel(title="Uses of previous secrets", expr=f"sum by (name) (rate({PREVIOUS_USES}[5m]))", unit="ops"),
)

RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
