"""Each golden input is planned as its output says."""

import pytest
from golden import FOLDER, INPUTS, output, planned_file, rendered


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_an_input_is_planned_as_its_output_says(path):
    assert rendered(path) == output(path).read_text(), (
        "not as planned before; if that is meant: python tests/operator/plan/golden.py"
    )


def test_each_output_has_an_input():
    outputs = {path.name for path in (FOLDER / "output").iterdir()}

    assert outputs == {path.name for path in INPUTS}


def test_what_others_need_comes_first():
    kinds = [manifest["kind"] for manifest in planned_file(FOLDER / "input" / "storage-grows.yaml")]

    assert kinds == [
        "ConfigMap",
        "PersistentVolumeClaim",
        "PersistentVolumeClaim",
        "Service",
        "Service",
        "NetworkPolicy",
        "StatefulSet",
        "Deployment",
        "Deployment",
        "Deployment",
        "PodDisruptionBudget",
        "PodDisruptionBudget",
        "PodMonitor",
    ]
