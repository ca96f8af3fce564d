"""Charts: values over time, drawn by the server, and given to scripts as they are."""

from bedplate.console.charts.data import Chart, Line
from bedplate.console.charts.keeping import Grid, Keeper
from bedplate.console.charts.picture import drawn

__all__ = ["Chart", "Grid", "Keeper", "Line", "drawn"]
