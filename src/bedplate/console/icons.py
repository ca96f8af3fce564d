"""The console's pictograms: drawn on a grid of 16, in the colour of the text beside them."""

from __future__ import annotations

from markupsafe import Markup

__all__ = ["icon"]

_STROKES = {
    "home": "M2.5 7.5 8 3l5.5 4.5M4 6.8V13h8V6.8",
    "alerts": (
        "M8 2.2a3.8 3.8 0 0 0-3.8 3.8c0 3.6-1.4 4.8-1.4 4.8h10.4S11.8 9.6 11.8 6A3.8 3.8 0 0 0 8 2.2Z"
        "M6.6 13.2a1.5 1.5 0 0 0 2.8 0"
    ),
    "errors": "M8 5.2v3.4M8 11v.1M7.1 2.7 1.9 12a1 1 0 0 0 .9 1.5h10.4a1 1 0 0 0 .9-1.5L8.9 2.7a1 1 0 0 0-1.8 0Z",
    "metrics": "M2.5 2.5v11h11M5 10l2.5-3.2 2 1.7L13 4.5",
    "traces": "M2.5 4h6M5 8h7.5M4 12h5",
    "logs": "M3 3.5h10M3 6.5h7M3 9.5h10M3 12.5h5",
    "components": "M8 1.9 13.5 5v6L8 14.1 2.5 11V5L8 1.9ZM2.5 5 8 8.1 13.5 5M8 8.1v6",
    "health": "M1.5 8.5h3L6 4.5l3 7.5 1.8-4h3.7",
    "settings": (
        "M2.5 4.5h6M12 4.5h1.5M2.5 11.5H4M7.5 11.5h6M10.2 6.1a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2Z"
        "M5.8 13.1a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2Z"
    ),
    "audit": "M4 2h5.5L12.5 5v9H4ZM9.5 2v3h3M6 8h4.5M6 11h4.5",
    "good": "M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM5.2 8.2l2 2 3.7-4.2",
    "warn": "M8 6v3M8 11.3v.1M7.1 2.2 1.7 12.3a1 1 0 0 0 .9 1.5h10.8a1 1 0 0 0 .9-1.5L8.9 2.2a1 1 0 0 0-1.8 0Z",
    "bad": "M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3ZM5.9 5.9l4.2 4.2M10.1 5.9l-4.2 4.2",
    "info": "M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM8 7.5v3.5M8 5v.1",
    "idle": "M8 14a6 6 0 1 0 0-12 6 6 0 0 0 0 12Z",
    "search": "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM10.6 10.6 14 14",
    "right": "M6 3.5 10.5 8 6 12.5",
    "down": "M3.5 6 8 10.5 12.5 6",
    "menu": "M2 4h12M2 8h12M2 12h12",
    "link": (
        "M6.5 9.5a2.8 2.8 0 0 0 4 0l2.3-2.3a2.8 2.8 0 0 0-4-4L8 4M9.5 6.5a2.8 2.8 0 0 0-4 0L3.2 8.8"
        "a2.8 2.8 0 0 0 4 4L8 12"
    ),
    "copy": "M5.5 5.5V2.5h8v8h-3M2.5 5.5h8v8h-8Z",
    "person": "M8 8a2.8 2.8 0 1 0 0-5.6A2.8 2.8 0 0 0 8 8ZM2.7 14c.5-2.7 2.7-4.2 5.3-4.2s4.8 1.5 5.3 4.2",
    "leave": "M6.5 2.5h-4v11h4M10 5l3 3-3 3M13 8H6",
    "theme": "M8 14a6 6 0 1 0 0-12v12Z",
    "action": "M9 1.5 3.5 9H8l-1 5.5L12.5 7H8Z",
    "book": (
        "M8 3.8C6.5 2.7 4.5 2.5 2.5 2.7v9.8c2-.2 4 0 5.5 1.1 1.5-1.1 3.5-1.3 5.5-1.1V2.7"
        "C11.5 2.5 9.5 2.7 8 3.8Zm0 0v9.8"
    ),
    "bellOff": (
        "M2.5 2.5l11 11M5 5c-.5.7-.6 1.3-.6 2 0 2.8-1.4 4-1.4 4h8M12 8.5C11.7 7.8 11.6 7 11.6 6"
        "A3.6 3.6 0 0 0 6.6 2.7M6.6 13.3a1.5 1.5 0 0 0 2.8 0"
    ),
    "clock": "M8 14a6 6 0 1 0 0-12 6 6 0 0 0 0 12ZM8 4.5V8l2.3 1.5",
    "play": "M5 3.2v9.6L12.5 8Z",
    "plus": "M8 3v10M3 8h10",
    "start": "M8 2v5M4.6 4a5.5 5.5 0 1 0 6.8 0",
}


def icon(name: str, label: str = "") -> Markup:
    """Return a pictogram; one without a label is hidden from those who cannot see it, since text stands beside it."""
    if label:
        head = Markup('<svg class="icon icon-{}" viewBox="0 0 16 16" role="img" aria-label="{}">').format(name, label)
    else:
        head = Markup('<svg class="icon icon-{}" viewBox="0 0 16 16" aria-hidden="true">').format(name)
    return head + Markup('<path d="{}"/></svg>').format(_STROKES[name])
