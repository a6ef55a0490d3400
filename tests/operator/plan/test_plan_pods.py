"""Pods: restricted, found by their labels, started with what the roles read."""

import re

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from plan_tools import by_key, examples, experiment, planned, templates, workloads
from restricted import violations

from greenroom.cli.main import app
from greenroom.roles import learner, settings
from greenroom_operator.names import ROLES
from greenroom_operator.plan import containers

LONGEST = "a" + "b" * 44
POD_SUFFIX = "-0123456789-01234"


@pytest.mark.parametrize(
    "sections", [{}, {"resumeFrom": {"claimName": "other"}}], ids=["plain", "seeded"]
)
def test_pods_meet_the_restricted_standard(sections):
    for role, template in templates(planned(experiment(**sections))).items():
        assert violations(template["spec"]) == [], role
        assert template["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "volume v: hostPath"),
        ({"securityContext": {}}, "worker: runAsNonRoot"),
        ({"containers": [{"name": "s", "image": "i"}]}, "s: capabilities are not dropped"),
    ],
)
def test_the_check_of_the_standard_finds_what_breaks_it(change, violation):
    spec = templates(planned(experiment()))["learner"]["spec"]

    assert violation in violations({**spec, **change})


def test_variables_are_those_that_roles_read():
    ours = {
        name: value
        for name, value in vars(containers).items()
        if isinstance(value, str) and value.startswith("GREENROOM_")
    }

    assert ours == {name: getattr(settings, name) for name in ours}
    assert len(ours) == 15


@pytest.mark.parametrize("role", ROLES)
def test_a_role_gets_every_option_that_it_needs(role):
    (container,) = templates(planned(experiment()))[role]["spec"]["containers"]
    variables = {variable["name"] for variable in container["env"]}
    (command, arguments) = parsed(container["command"])

    needed = {option.envvar for option in command.params if option.required}

    assert arguments == []
    assert needed <= variables


def test_the_learner_is_seeded_by_a_command_that_is_there():
    found = templates(planned(experiment(resumeFrom={"experiment": "older"})))["learner"]
    (seed,) = found["spec"]["initContainers"]
    variables = {variable["name"] for variable in seed["env"]}
    command, arguments = parsed(seed["command"])

    options = {flag: option.envvar for option in command.params for flag in option.opts}
    said = dict(zip(arguments[::2], arguments[1::2], strict=True))

    assert said == {
        "--source": "/var/lib/greenroom-source/run",
        "--run-directory": "/var/lib/greenroom/run",
    }
    assert said.keys() <= options.keys()
    assert {f for f, variable in options.items() if variable in variables} == {"--experiment"}
    needed = {flag for option in command.params if option.required for flag in option.opts}
    assert needed <= {*said, "--experiment"}


def parsed(words):
    """Return the command that a container runs, and the arguments that it gets."""
    program, role, name, *arguments = words
    assert (program, role) == ("greenroom", "role")
    return typer.main.get_command(app).commands[role].commands[name], arguments


def test_a_learner_has_time_to_save_before_it_waits_to_be_read():
    spec = templates(planned(experiment()))["learner"]["spec"]

    assert spec["terminationGracePeriodSeconds"] >= learner.UNREAD_SECONDS + 30


@examples
@given(st.from_regex(r"[a-z]([-a-z0-9]{0,43}[a-z0-9])?", fullmatch=True))
def test_names_fit_whatever_the_experiment_is_called(name):
    _check_names(name)


def test_names_fit_the_longest_name():
    _check_names(LONGEST)


def _check_names(name):
    label = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
    manifests = planned(experiment(name))
    assert len(by_key(manifests)) == len(manifests)
    for (kind, child), manifest in by_key(manifests).items():
        assert len(child) <= 63, (kind, child)
        assert label.fullmatch(child), (kind, child)
        for value in manifest["metadata"]["labels"].values():
            assert len(value) <= 63
    # A StatefulSet labels its pods with its name and a hash of 10 characters.
    assert len(f"{name}-replay-0123456789") <= 63
    assert len(f"data-{name}-replay-0") <= 63


def test_workloads_find_their_own_pods_and_no_others():
    found = workloads(planned(experiment()))
    for role, workload in found.items():
        selector = workload["spec"]["selector"]["matchLabels"].items()
        matching = {
            other
            for other, template in templates(planned(experiment())).items()
            if selector <= template["metadata"]["labels"].items()
        }
        assert matching == {role}


def test_the_http_port_and_its_probes_are_on_every_pod():
    for template in templates(planned(experiment())).values():
        (container,) = template["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["http"] == 8080
        paths = {
            probe: container[probe]["httpGet"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert paths == {
            "startupProbe": {"path": "/healthz", "port": "http"},
            "livenessProbe": {"path": "/healthz", "port": "http"},
            "readinessProbe": {"path": "/readyz", "port": "http"},
        }


def test_the_learner_asks_for_a_core_for_each_thread():
    found = templates(planned(experiment(learner={"torchThreads": 6})))

    (container,) = found["learner"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == "6"


def test_only_an_experiment_that_resumes_another_waits_for_its_volume():
    plain = templates(planned(experiment()))["learner"]["spec"]
    seeded = templates(planned(experiment(resumeFrom={"experiment": "older"})))["learner"]["spec"]

    assert "initContainers" not in plain
    (source,) = (volume for volume in seeded["volumes"] if volume["name"] == "source")
    assert source["persistentVolumeClaim"] == {"claimName": "older-learner", "readOnly": True}
    (seed,) = seeded["initContainers"]
    assert {"name": "source", "mountPath": "/var/lib/greenroom-source", "readOnly": True} in seed[
        "volumeMounts"
    ]
