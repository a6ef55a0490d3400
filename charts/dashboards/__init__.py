"""Grafana's dashboards as code: `panels` is what both are made of."""
