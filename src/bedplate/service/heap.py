"""The garbage collector in a process that serves for weeks."""

from __future__ import annotations

import gc

__all__ = ["settle"]


def settle() -> None:
    """Take what exists out of the garbage collector's sight; for a process that has just started, and goes on.

    What exists after the start lives as long as the process. A full collection that walks all of it again and again
    stops the event loop for some 50 ms each time; afterwards only what came later is walked. Garbage is collected
    before: what is in a circle at this moment would stay for ever.
    """
    gc.collect()
    gc.freeze()
