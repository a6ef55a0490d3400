"""An experiment that begins from the volume of another one, which runs still."""

from operating import apply, complete, condition, eventually

MESSAGE = "spec.resumeFrom: experiment x: volume claim x-learner is in use by x-learner-"


def learner_pods(kubectl, name):
    selector = f"greenroom.dev/experiment={name},greenroom.dev/role=learner"
    return kubectl.json("get", "pods", "-l", selector)["items"]


def claims(kubectl, name):
    """Return the volume claims that learners of an experiment mount."""
    volumes = [volume for pod in learner_pods(kubectl, name) for volume in pod["spec"]["volumes"]]
    found = [volume.get("persistentVolumeClaim") for volume in volumes]
    return {claim["claimName"] for claim in found if claim is not None}


def test_a_learner_waits_until_the_volume_that_it_begins_from_is_free(operator, kubectl):
    apply(kubectl, "x")
    complete(kubectl, "x")
    apply(kubectl, "y", resumeFrom={"experiment": "x"})

    waits = eventually(
        lambda: condition(kubectl, "y", "Progressing"),
        lambda found: found[1] == "ResumeSourceInUse",
    )
    assert waits[0] == "False"
    assert waits[2].startswith(MESSAGE)
    learner = kubectl.json("get", "deployment", "y-learner")
    assert learner["spec"]["replicas"] == 0
    assert learner_pods(kubectl, "y") == []

    kubectl("patch", "rlx", "x", "--type=merge", '--patch={"spec":{"suspend":true}}')
    # Nobody but the end of x's pods tells that y may go on.
    complete(kubectl, "y")
    assert learner_pods(kubectl, "x") == []
    # Once it has run it has a copy, and lets go of the other's volume.
    eventually(lambda: claims(kubectl, "y"), lambda found: found == {"y-learner"})
