"""What stands in a run's way is told in the words of whoever knows it: kubelet and scheduler."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.cluster.cluster import Kubectl
from e2e.suite.experiments import Experiment, condition, example, is_true

pytestmark = pytest.mark.timeout(900)


def learner_with(**resources: Any) -> dict[str, Any]:
    """The example, its learner with other resources."""
    document = example()
    container = {"name": "worker", "resources": resources}
    document["spec"]["learner"]["podTemplate"] = {"spec": {"containers": [container]}}
    return document


def test_too_little_memory_fails_the_run_as_oom_killed(kubectl: Kubectl) -> None:
    document = learner_with(requests={"memory": "192Mi", "cpu": "100m"}, limits={"memory": "192Mi"})
    document["spec"]["failurePolicy"] = {"backoffLimit": 1}
    run = Experiment(kubectl, document)
    status = run.until(is_true("Failed"), 600.0, "it has failed")
    assert "OOMKilled" in condition(status, "Failed")["message"]


def test_an_image_that_is_not_there_is_named(kubectl: Kubectl) -> None:
    image = "localhost:5001/greenroom/worker:no-such-tag"
    run = Experiment(kubectl, example(image=image))
    status = run.until(
        lambda status: condition(status, "Progressing").get("reason") == "ImagePullBackOff",
        300.0,
        "the image is not there",
    )
    assert image in condition(status, "Progressing")["message"]


def test_a_gpu_that_no_node_has_is_told_by_the_scheduler(kubectl: Kubectl) -> None:
    run = Experiment(kubectl, learner_with(limits={"nvidia.com/gpu": 1}))
    status = run.until(
        lambda status: condition(status, "Progressing").get("reason") == "Unschedulable",
        300.0,
        "no node has a GPU",
    )
    assert "Insufficient nvidia.com/gpu" in condition(status, "Progressing")["message"]
