"""A user's image: `FROM` ours, with a package of their own in it (`examples/own-image`)."""

from __future__ import annotations

import pytest
import yaml

from e2e.cluster.binaries import REPOSITORY
from e2e.cluster.cluster import Kubectl
from e2e.kind.cluster import REGISTRY
from e2e.kind.images import build_one
from e2e.kind.node_image import build_options
from e2e.suite.experiments import ROLES, Experiment, example
from e2e.suite.nodes import Nodes

pytestmark = [pytest.mark.timeout(1800), pytest.mark.full]

FOLDER = REPOSITORY / "examples" / "own-image"


def test_an_image_of_ones_own_is_built_and_learns(release: Nodes, kubectl: Kubectl) -> None:
    image = build_one(
        release.engine,
        f"{REGISTRY}/team/ferry",
        *build_options(release.engine),
        # The last one counts.
        f"--build-arg=BASE_IMAGE={release.images['worker']}",
        FOLDER,
    )
    document = yaml.safe_load((FOLDER / "experiment.yaml").read_text())
    document["spec"]["image"] = str(image)
    for role in ROLES:
        small = example()["spec"][role]["podTemplate"]
        document["spec"].setdefault(role, {})["podTemplate"] = small

    run = Experiment(kubectl, document)
    # They are gone when it is over, which takes it seconds.
    run.until(lambda _: len(run.pods()) == len(ROLES), 120.0, "its pods are there")
    used = {
        pod["metadata"]["labels"]["greenroom.dev/role"]: pod["spec"]["containers"][0]["image"]
        for pod in run.pods()
    }
    status = run.until(
        lambda status: status["phase"] in ("Succeeded", "Failed"), 900.0, "it is over"
    )
    assert used == {
        "replay": str(release.images["replay"]),
        **dict.fromkeys(("learner", "actor", "evaluator"), str(image)),
    }
    assert status["phase"] == "Succeeded", status["conditions"]
    assert status["episodeReturn"] >= document["spec"]["stop"]["episodeReturn"]
