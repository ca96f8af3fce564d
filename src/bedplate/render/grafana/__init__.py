"""Grafana: data sources, dashboards, and where it finds them."""

from bedplate.render.grafana.dashboards import Page, address, pages
from bedplate.render.grafana.provisioning import provisioning

__all__ = ["Page", "address", "pages", "provisioning"]
