"""Settings of health."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from bedplate.settings.markers import Section

__all__ = ["HealthSettings"]


class HealthSettings(Section):
    """How often to look, how much to remember, and when the machine itself is a reason for concern.

    The built-in probes degrade the service and never make it unready: a full disk is often full on every instance,
    and taking all of them out of rotation would turn a warning into an outage.
    """

    history: int = Field(default=60, ge=1, le=10_000)
    """Runs and transitions kept a probe."""

    tick: float = Field(default=0.25, gt=0, le=60)
    """Seconds between two looks at the states of the components."""

    start_jitter: float = Field(default=0.2, ge=0, le=60)
    """First runs are spread over this many seconds, so that probes do not all fire at once; intervals vary by 10 %."""

    cancel_grace: float = Field(default=1.0, gt=0, le=60)
    """Seconds that a probe has to end once it was cancelled; after that it counts as hung and is left alone."""

    disk_paths: tuple[Path, ...] = (Path(),)
    """Folders whose file systems need room; the working directory by default. Empty: no disk probe."""

    disk_free_share: float = Field(default=0.05, ge=0, lt=1)
    """Least free share of a file system, as an unprivileged user sees it; 0 does not look at the share."""

    disk_free_bytes: int = Field(default=256 * 2**20, ge=0)
    """Least free bytes of a file system; 0 does not look at them."""

    memory_share: float = Field(default=0.92, gt=0, le=1)
    """Greatest share of the container's memory limit that may be in use, page cache aside."""

    memory_available_share: float = Field(default=0.03, ge=0, lt=1)
    """Least share of the machine's memory that must be available where no container limits it."""

    loop_lag: float = Field(default=0.5, gt=0, le=60)
    """Longest time, in seconds, that the event loop may have been blocked since the last look."""

    interval: float = Field(default=15.0, gt=0, le=3600)
    """Seconds between two runs of a built-in probe."""
