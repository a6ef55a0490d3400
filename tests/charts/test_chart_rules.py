"""Recording rules and alerts, by promtool's unit tests in rules/."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from real_run import RULES

from e2e.cluster import binaries

UNIT_TESTS = sorted(Path(__file__).with_name("rules").glob("*.yaml"))


def promtool(*arguments: str) -> str:
    """What promtool says; an error of its is a failed test."""
    done = subprocess.run(
        [binaries.path("promtool"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def run_unit_tests(tests: Path, rules: str, folder: Path) -> str:
    (folder / "rules.yaml").write_text(rules)
    (folder / "tests.yaml").write_text(tests.read_text().replace("[RULES]", "[rules.yaml]"))
    return promtool("test", "rules", str(folder / "tests.yaml"))


def test_promtool_accepts_the_rules() -> None:
    assert "SUCCESS: 14 rules found" in promtool("check", "rules", "--lint-fatal", str(RULES))


@pytest.mark.parametrize("tests", UNIT_TESTS, ids=lambda path: path.stem)
def test_rules_do_what_they_say(tests: Path, tmp_path: Path) -> None:
    run_unit_tests(tests, RULES.read_text(), tmp_path)


def test_each_rule_has_a_unit_test() -> None:
    rules = [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    tested = "\n".join(path.read_text() for path in UNIT_TESTS)
    names = {rule.get("alert") or rule["record"] for rule in rules}
    assert {name for name in names if re.search(rf"\b{name}\b", tested)} == names


@pytest.mark.parametrize(
    ("tests", "right", "wrong"),
    [
        ("experiments", "> 0.95", "> 1.5"),
        ("experiments", "samples_total[5m]) == 0", "samples_total[5m]) >= 0"),
        ("experiments", 'state="training"} == 1', 'state="training"} >= 0'),
        ("experiments", "> 3600", "> 9999"),
        ("experiments", "[30m]) > 0", "[10m]) > 0"),
        ("experiments", "(greenroom_replay_inserts_total > 0)", "greenroom_replay_inserts_total"),
        ("operator", "or absent(greenroom_operator_is_leader)", ""),
        ("operator", "_errors_total[15m])) > 5", "_errors_total[15m])) > 50"),
        ("operator", "min_over_time", "max_over_time"),
        ("operator", "[15m])) > 180", "[15m])) > 100"),
    ],
)
def test_unit_tests_notice_a_change(tests: str, right: str, wrong: str, tmp_path: Path) -> None:
    rules = RULES.read_text()
    assert right in rules
    [file] = [path for path in UNIT_TESTS if path.stem == tests]
    with pytest.raises(AssertionError, match="FAILED"):
        run_unit_tests(file, rules.replace(right, wrong), tmp_path)
