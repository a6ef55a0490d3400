"""The dashboards and rules of experiments, on real series: real roles, a real Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_server import Prometheus
from real_run import EXPERIMENT, NAMESPACE, RULES, training

from charts.generate import CHART, generated
from e2e.cluster.processes import wait_until
from greenroom.launch.processes import Role

# On a busy machine real roles take their time to start.
pytestmark = pytest.mark.timeout(900)

EXPERIMENT_DASHBOARD = json.loads((CHART / "dashboards" / "experiment.json").read_text())
OPERATOR_DASHBOARD = json.loads((CHART / "dashboards" / "operator.json").read_text())
VARIABLES = {"$namespace": NAMESPACE, "$experiment": EXPERIMENT, "$__rate_interval": "10s"}
Run = tuple[dict[str, Role], Prometheus]
SERIES = re.compile(r"\bgreenroom_[a-z_]+")


def queries(dashboard: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Title, legend and expression of each query."""
    return [
        (panel["title"], target["legendFormat"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]


def filled_in(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_what_is_generated_is_committed(path: Path) -> None:
    assert path.read_text() == generated()[path], "it is written by: python -m charts.generate"


@pytest.mark.parametrize("dashboard", [EXPERIMENT_DASHBOARD, OPERATOR_DASHBOARD])
def test_a_dashboard_is_whole(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    shown = [panel for panel in panels if panel["type"] != "row"]
    assert all(panel["title"] and panel["description"].endswith(".") for panel in shown)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in shown)
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    used = set(re.findall(r"\$(\w+)", json.dumps([expr for _, _, expr in queries(dashboard)])))
    assert used - {"__rate_interval"} == set(names) - {"datasource"}


def test_panels_do_not_lie_on_each_other() -> None:
    for dashboard in (EXPERIMENT_DASHBOARD, OPERATOR_DASHBOARD):
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {
                (place["x"] + across, place["y"] + down)
                for across in range(place["w"])
                for down in range(place["h"])
            }
            assert not taken & cells, panel["title"]
            assert place["x"] + place["w"] <= 24
            taken |= cells


def test_each_metric_is_documented() -> None:
    documented = (CHART.parents[1] / "docs" / "metrics.md").read_text()
    dashboards = (EXPERIMENT_DASHBOARD, OPERATOR_DASHBOARD)
    expressions = [expr for each in dashboards for _, _, expr in queries(each)]
    expressions += [rule["expr"] for group in rule_groups() for rule in group["rules"]]
    used = {name.removesuffix("_bucket") for text in expressions for name in SERIES.findall(text)}
    named = set(SERIES.findall(documented))
    assert used - {"greenroom_dev_experiment", "greenroom_dev_role"} <= named


def rule_groups() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    assert isinstance(groups, list)
    return groups


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with training(tmp_path_factory.mktemp("real")) as (roles, prometheus):
        # Long enough for a checkpoint of replay, and an evaluation, and rates of all.
        wait_until(
            lambda: bool(
                prometheus.query("greenroom_replay_checkpoint_timestamp_seconds > 0")
                and prometheus.query("greenroom_episode_return")
                and prometheus.query("rate(greenroom_actor_waiting_seconds_total[10s])")
                and prometheus.query("increase(greenroom_learner_steps_total[10s]) > 10")
            ),
            240,
            "the run has learned, evaluated and saved",
        )
        yield roles, prometheus


@pytest.mark.slow
def test_each_query_of_the_experiments_dashboard_finds_something(run: Run) -> None:
    _, prometheus = run
    missing = queries(EXPERIMENT_DASHBOARD)

    def all_seen() -> bool:
        """Whether each query has found something by now: some things happen now and then."""
        missing[:] = [each for each in missing if not prometheus.query(filled_in(each[2]))]
        return not missing

    try:
        wait_until(all_seen, 90, "each query has found something")
    except TimeoutError as error:
        raise AssertionError(f"{error}. Missing: {missing}") from error


@pytest.mark.slow
def test_legends_name_labels_that_are_there(run: Run) -> None:
    _, prometheus = run
    for title, legend, expression in queries(EXPERIMENT_DASHBOARD):
        for label in re.findall(r"{{(\w+)}}", legend):
            for found in prometheus.query(filled_in(expression)):
                assert label in found["metric"], (title, legend)


@pytest.mark.slow
def test_one_figure_is_one_series(run: Run) -> None:
    _, prometheus = run
    for panel in EXPERIMENT_DASHBOARD["panels"]:
        if panel["type"] == "stat":
            [target] = panel["targets"]
            assert len(prometheus.query(filled_in(target["expr"]))) == 1, panel["title"]


@pytest.mark.slow
def test_variables_find_the_experiment(run: Run) -> None:
    _, prometheus = run
    for variable in EXPERIMENT_DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found
            values = prometheus.label_values(found[2], filled_in(found[1]))
            assert values == [VARIABLES[f"${variable['name']}"]]


@pytest.mark.slow
def test_recording_rules_record(run: Run) -> None:
    _, prometheus = run
    # A rule is "unknown" until it was evaluated for the first time.
    wait_until(lambda: set(prometheus.rule_health().values()) == {"ok"}, 60, "rules are in order")
    for group in rule_groups():
        for rule in group["rules"]:
            if "record" in rule:
                record = rule["record"]
                wait_until(
                    lambda record=record: bool(prometheus.query(record)), 60, f"{record} is there"
                )
                [found] = prometheus.query(record)
                assert found["metric"]["greenroom_dev_experiment"] == EXPERIMENT
                assert found["metric"]["namespace"] == NAMESPACE


@pytest.mark.slow
def test_nothing_is_alarming_until_actors_are_gone(run: Run) -> None:
    roles, prometheus = run
    [stalled] = [
        rule["expr"].replace("[5m]", "[20s]")
        for group in rule_groups()
        for rule in group["rules"]
        if rule.get("alert") == "GreenroomReplayStalled"
    ]
    assert prometheus.query(stalled) == []
    assert not [
        alert
        for alert in prometheus.query('ALERTS{alertstate="firing"}')
        if not alert["metric"]["alertname"].startswith("GreenroomOperator")
    ]
    for name, role in roles.items():
        if name.startswith("actor"):
            role.process.kill()
    wait_until(lambda: bool(prometheus.query(stalled)), 120, "replay counts as stalled")
    [found] = prometheus.query(stalled)
    assert found["metric"]["state"] == "waiting_for_inserts"
