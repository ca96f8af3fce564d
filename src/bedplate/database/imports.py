"""Importing what is large in a thread, without stopping the event loop meanwhile or afterwards."""

from __future__ import annotations

import gc
import sys
import threading
from importlib import import_module

__all__ = ["load"]

#: The garbage collector's switch belongs to the whole process: one thread at a time turns it, and finds it as it was.
_SWITCH = threading.Lock()


def load(*names: str) -> None:
    """Import modules; to be called in a thread.

    SQLAlchemy and Alembic make hundreds of thousands of objects that never die. Every collection that walks them holds
    all threads for 50 to 100 ms, so none runs while they come about; and they go to the old ones unwalked, or the first
    collection afterwards would take just as long. It is off for imports alone, never while somebody else is waited for:
    some tenths of a second, once in a process.
    """
    if all(name in sys.modules for name in names):
        return
    with _SWITCH:
        enabled = gc.isenabled()
        gc.disable()
        try:
            for name in names:
                import_module(name)
        finally:
            # Whoever has frozen its objects keeps them so, and these with them; else they are thawed into the oldest.
            frozen = gc.get_freeze_count()
            gc.freeze()
            if not frozen:
                gc.unfreeze()
            if enabled:
                gc.enable()
