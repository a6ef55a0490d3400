"""A user's pod template over ours."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_tools import examples, experiment, planned, templates

from greenroom_operator.plan.merge import MERGE_KEYS, merge_template

ROLES = ("replay", "learner", "actor", "evaluator")
OURS = templates(planned(experiment(resumeFrom={"claimName": "other"})))
WORDS = st.sampled_from(["worker", "seed", "sidecar", "data", "tmp", "HOME", "mine"])
TEXT = st.text("abc", max_size=3)


def some_of(**fields):
    return st.fixed_dictionaries({}, optional=fields)


def keyed(key, keys, **fields):
    entry = st.tuples(keys, some_of(**fields)).map(lambda pair: {key: pair[0], **pair[1]})
    return st.lists(entry, max_size=3, unique_by=lambda found: found[key])


PROBE = some_of(periodSeconds=st.integers(1, 9)) | st.just({"tcpSocket": {"port": 1}})
AMOUNTS = some_of(cpu=st.just("1"), memory=st.just("1Gi"), **{"nvidia.com/gpu": st.just(1)})
CONTAINERS = keyed(
    "name",
    WORDS,
    image=TEXT,
    command=st.lists(TEXT),
    args=st.lists(TEXT),
    ports=keyed("containerPort", st.sampled_from([7000, 7001, 8080, 1])),
    env=keyed("name", WORDS, value=TEXT),
    volumeMounts=keyed("mountPath", st.sampled_from(["/tmp", "/mine"]), name=TEXT),
    resources=some_of(requests=AMOUNTS, limits=AMOUNTS),
    livenessProbe=PROBE,
    securityContext=some_of(privileged=st.booleans()),
)
TEMPLATES = some_of(
    metadata=some_of(
        labels=st.dictionaries(
            st.sampled_from(["mine", "greenroom.dev/role", "app.kubernetes.io/name"]), TEXT
        ),
        annotations=st.dictionaries(st.sampled_from(["mine", "greenroom.dev/inputs"]), TEXT),
    ),
    spec=some_of(
        containers=CONTAINERS,
        initContainers=CONTAINERS,
        volumes=keyed("name", WORDS, emptyDir=st.just({})),
        tolerations=st.lists(some_of(key=TEXT), max_size=2),
        nodeSelector=st.dictionaries(TEXT, TEXT, max_size=2),
        hostAliases=keyed("ip", TEXT),
        topologySpreadConstraints=st.lists(
            st.fixed_dictionaries(
                {
                    "topologyKey": st.sampled_from(["kubernetes.io/hostname", "zone"]),
                    "whenUnsatisfiable": st.sampled_from(["ScheduleAnyway", "DoNotSchedule"]),
                    "maxSkew": st.integers(1, 5),
                }
            ),
            max_size=3,
            unique_by=lambda found: (found["topologyKey"], found["whenUnsatisfiable"]),
        ),
        terminationGracePeriodSeconds=st.integers(0, 99),
        securityContext=some_of(runAsUser=st.integers(1, 9)),
    ),
)
role_templates = st.sampled_from(ROLES).map(OURS.__getitem__)


@examples
@given(role_templates, TEMPLATES)
def test_merging_twice_is_merging_once(ours, theirs):
    once = merge_template(ours, theirs)

    assert merge_template(once, theirs) == once


@examples
@given(role_templates, TEMPLATES)
def test_neither_side_is_changed(ours, theirs):
    before = copy.deepcopy((ours, theirs))

    merge_template(ours, theirs)

    assert (ours, theirs) == before


@examples
@given(role_templates, TEMPLATES)
def test_labels_commands_ports_and_the_digest_stay_ours(ours, theirs):
    merged = merge_template(ours, theirs)

    assert ours["metadata"]["labels"].items() <= merged["metadata"]["labels"].items()
    for name in ("greenroom.dev/inputs",):
        assert merged["metadata"]["annotations"][name] == ours["metadata"]["annotations"][name]
    for kind in ("containers", "initContainers"):
        found = {container["name"]: container for container in merged["spec"].get(kind, ())}
        for container in ours["spec"].get(kind, ()):
            for field in ("command", "args", "ports"):
                assert found[container["name"]].get(field) == container.get(field)


@examples
@given(role_templates, TEMPLATES)
def test_everything_else_that_the_user_says_is_there(ours, theirs):
    merged = merge_template(ours, theirs)

    assert missing(theirs, merged, (), protected(ours)) == []


@examples
@given(role_templates, TEMPLATES)
def test_what_the_user_says_nothing_of_stays(ours, theirs):
    spec = theirs.get("spec", {})
    merged = merge_template(ours, theirs)["spec"]

    for name, value in ours["spec"].items():
        if name not in spec:
            assert merged[name] == value


@examples
@given(role_templates, TEMPLATES)
def test_no_list_has_two_entries_of_one_key(ours, theirs):
    assert doubled(merge_template(ours, theirs), ()) == []


def protected(ours):
    names = {
        kind: {container["name"] for container in ours["spec"].get(kind, ())}
        for kind in ("containers", "initContainers")
    }
    labels = ours["metadata"]["labels"]

    def is_ours(path, entry_name, field):
        if path == ("metadata", "labels"):
            return field in labels
        if path == ("metadata", "annotations"):
            return field == "greenroom.dev/inputs"
        own = len(path) == 2 and entry_name in names.get(path[1], ())
        return own and field in ("command", "args", "ports")

    return is_ours


def missing(theirs, merged, path, is_ours):
    """Return where something of theirs is not in what was merged."""
    if isinstance(theirs, dict):
        found = []
        for name, value in theirs.items():
            if is_ours(path, theirs.get("name"), name):
                continue
            if name not in merged:
                found.append((*path, name))
            else:
                found += missing(value, merged[name], (*path, name), is_ours)
        return found
    if isinstance(theirs, list) and path in MERGE_KEYS:
        keys = MERGE_KEYS[path]
        by_keys = {tuple(entry.get(key) for key in keys): entry for entry in merged}
        found = []
        for entry in theirs:
            match = by_keys[tuple(entry.get(key) for key in keys)]
            found += missing(entry, match, path, is_ours)
        return found
    return [] if theirs == merged else [path]


def doubled(value, path):
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in doubled(item, (*path, name))]
    if isinstance(value, list) and path in MERGE_KEYS:
        keys = [tuple(entry.get(key) for key in MERGE_KEYS[path]) for entry in value]
        inner = [found for entry in value for found in doubled(entry, path)]
        return inner + ([] if len(keys) == len(set(keys)) else [path])
    return []


def container(template):
    return template["spec"]["containers"][0]


def with_worker(**fields):
    theirs = {"spec": {"containers": [{"name": "worker", **fields}]}}
    return container(merge_template(OURS["actor"], theirs))


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ({}, {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}),
        (
            {"limits": {"memory": "256Mi"}},
            {"requests": {"cpu": "500m"}, "limits": {"memory": "256Mi"}},
        ),
        ({"requests": {"memory": "4Gi"}}, {"requests": {"cpu": "500m", "memory": "4Gi"}}),
        (
            {"requests": {"cpu": "2"}, "limits": {"cpu": "2", "memory": "1Gi"}},
            {"requests": {"cpu": "2"}, "limits": {"cpu": "2", "memory": "1Gi"}},
        ),
        (
            {"limits": {"nvidia.com/gpu": 1}},
            {
                "requests": {"cpu": "500m", "memory": "512Mi"},
                "limits": {"memory": "2Gi", "nvidia.com/gpu": 1},
            },
        ),
    ],
)
def test_a_resource_is_the_users_or_ours_as_a_whole(said, result):
    assert with_worker(resources=said)["resources"] == result


def test_a_probe_does_one_thing():
    probe = with_worker(livenessProbe={"exec": {"command": ["true"]}})["livenessProbe"]

    assert "httpGet" not in probe
    assert probe["exec"] == {"command": ["true"]}
    assert with_worker(livenessProbe={"periodSeconds": 99})["livenessProbe"]["httpGet"]


def test_a_variable_and_a_volume_have_one_source():
    by_name = {
        v["name"]: v for v in with_worker(env=[{"name": "GREENROOM_TOKEN", "value": "t"}])["env"]
    }
    assert by_name["GREENROOM_TOKEN"] == {"name": "GREENROOM_TOKEN", "value": "t"}

    theirs = {"spec": {"volumes": [{"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}}]}}
    volumes = merge_template(OURS["actor"], theirs)["spec"]["volumes"]
    assert {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}} in volumes


def test_a_sidecar_comes_after_the_worker():
    theirs = {"spec": {"containers": [{"name": "a", "image": "i"}]}}

    names = [c["name"] for c in merge_template(OURS["actor"], theirs)["spec"]["containers"]]

    assert names == ["worker", "a"]
