"""What both dashboards are made of: a query, a panel with its words, a row, the variables.

    dashboard = make_dashboard(
        "Title", "uid", "What it shows.",
        variables=[variable("namespace", "label_values(up, namespace)", "Namespace")],
        rows={"Learning": [series("Loss", "What it is.", Query("loss", "{{metric}}"))]},
    )

Queries are written for any data source of the kind Prometheus, scraped every 30 s or more often.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.units import (
    BytesIEC,
    CountsPerSecond,
    DateTimeFromNow,
    PercentUnit,
    Seconds,
    Short,
)

# Short for counts; the others as Grafana calls them.
BYTES, PER_SECOND, FROM_NOW, SHARE, SECONDS, COUNT = (
    BytesIEC,
    CountsPerSecond,
    DateTimeFromNow,
    PercentUnit,
    Seconds,
    Short,
)
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = 24
Panel = timeseries.Panel | stat.Panel


class Query(NamedTuple):
    """A query and how its series are called.

    Attributes:
        expression: PromQL.
        legend: a name with ``{{label}}``; "__auto" for Grafana's own.
    """

    expression: str
    legend: str = "__auto"


def series(title: str, description: str, *queries: Query, unit: str = COUNT) -> timeseries.Panel:
    """Return lines over time, three panels in a row of the grid."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(COLUMNS // 3)
        .height(8)
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER)
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    for letter, query in zip(string.ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_target(letter, query).range())
    return panel


def figure(
    title: str, description: str, query: Query, *, unit: str = COUNT, name: bool = False
) -> stat.Panel:
    """Return the newest value, or with ``name`` what its legend makes of its labels."""
    mode = common.BigValueTextMode.NAME if name else common.BigValueTextMode.VALUE
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(COLUMNS // 8)
        .height(4)
        .color_mode(common.BigValueColorMode.NONE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(mode)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("none yet")
        .with_target(_target("A", query).instant())
    )


def variable(name: str, query: str, label: str) -> builders.QueryVariable:
    """Return a variable whose values the data source lists."""
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def make_dashboard(
    title: str,
    uid: str,
    description: str,
    *,
    variables: Sequence[builders.QueryVariable],
    rows: Mapping[str, Sequence[Panel]],
) -> models.Dashboard:
    """Return a dashboard of titled rows, with a variable for the data source first."""
    dashboard = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["greenroom"])
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(
            builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )
    for each in variables:
        dashboard = dashboard.with_variable(each)
    number = 0
    for heading, panels in rows.items():
        number += 1
        dashboard = dashboard.with_row(builders.Row(heading).id(number))
        for panel in panels:
            number += 1
            dashboard = dashboard.with_panel(panel.id(number))
    return dashboard.build()


def _target(letter: str, query: Query) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(letter)
        .datasource(SOURCE)
        .expr(query.expression)
        .legend_format(query.legend)
    )
