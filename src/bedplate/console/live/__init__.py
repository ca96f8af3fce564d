"""Pages that stay up to date: one stream a tab, fed from what is made once for all who look."""

from bedplate.console.live.feed import Feed, Watcher

__all__ = ["Feed", "Watcher"]
