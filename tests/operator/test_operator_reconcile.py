"""Reconciles against an API server in memory that changes, refuses and fails as a test says."""

import asyncio
import copy
from datetime import UTC, datetime, timedelta

import pytest
from reconciling import KEY, UID, Setting, refusal

from greenroom_operator.errors import ApiRefused, ApiUnavailable, Conflict
from greenroom_operator.kinds import BY_NAME, DEPLOYMENT, EXPERIMENT, POD, SECRET, VOLUME_CLAIM
from greenroom_operator.queue import Urgency

TOKEN = f"x-token-{UID[:8]}"


def test_a_spec_that_changed_while_the_status_was_written_is_taken_up():
    async def run():
        setting = Setting()
        await setting.turn()
        await setting.turn()
        assert not len(setting.queue)

        def scaled(kind, verb):
            # Between the reconcile's look at the spec and its write; the answer tells of it.
            if kind is EXPERIMENT and verb == "merge":
                setting.api.fault = lambda kind, verb: None
                body = copy.deepcopy(setting.experiment)
                body["spec"]["actors"] = {"replicas": 3}
                setting.api.keep(EXPERIMENT, body, generation=2)

        # A status in which nothing but a count changes, as progress does every 30 s.
        labels = {"greenroom.dev/experiment": "x", "greenroom.dev/role": "actor"}
        metadata = {"name": "x-actors-1", "namespace": "team", "labels": labels}
        setting.cache.pod("ADDED", setting.api.keep(POD, {"metadata": metadata}))
        setting.api.fault = scaled
        await setting.turn()
        assert setting.experiment["status"]["actors"]["replicas"] == 1
        assert setting.replicas("x-actors") == 1

        # The event of that change is older than what the cache has: nothing else wakes it.
        async with asyncio.timeout(60):
            await setting.controller._turn(await setting.queue.get())
        assert setting.replicas("x-actors") == 3
        assert setting.experiment["status"]["observedGeneration"] == 2

    asyncio.run(run())


def test_a_secret_that_is_refused_is_told_and_made_later():
    async def run():
        setting = Setting()
        error = ApiRefused("exceeded quota: secrets", status=403, reason="Forbidden")
        setting.api.fault = refusal(SECRET, error)
        await setting.turn()
        message = f"Secret {TOKEN} was refused: exceeded quota: secrets"
        assert setting.condition("Progressing") == ("False", "ChildRefused", message)
        assert "tokenSecret" not in setting.experiment["status"]
        assert ("Deployment", "x-learner") in setting.api.objects

        setting.api.fault = lambda kind, verb: None
        await setting.turn()
        assert setting.experiment["status"]["tokenSecret"] == TOKEN
        assert setting.condition("Progressing")[1] != "ChildRefused"

    asyncio.run(run())


def test_the_secret_of_somebody_else_that_is_missing_is_not_made():
    async def run():
        setting = Setting()
        await setting.turn()
        made = []
        setting.api.fault = lambda kind, verb: made.append(kind.kind)
        for name, wanted in (("theirs", []), (TOKEN, ["Secret"])):
            setting.api.objects.pop(("Secret", TOKEN), None)
            setting.cache.pod("MODIFIED", pod_without_secret(setting.api, name))
            await setting.turn()
            assert [kind for kind in made if kind == "Secret"] == wanted

    asyncio.run(run())


def pod_without_secret(api, name):
    words = f'secret "{name}" not found'
    waiting = {"reason": "CreateContainerConfigError", "message": words}
    status = {"containerStatuses": [{"name": "worker", "state": {"waiting": waiting}}]}
    labels = {"greenroom.dev/experiment": "x", "greenroom.dev/role": "learner"}
    metadata = {"name": "x-learner-1", "namespace": "team", "labels": labels}
    return api.keep(POD, {"metadata": metadata, "status": status})


def test_a_kind_whose_webhook_is_away_holds_up_no_other_and_is_told():
    async def run():
        setting = Setting()
        error = ApiUnavailable("failed calling webhook", reason="500")
        setting.api.fault = refusal(VOLUME_CLAIM, error)
        await setting.turn()
        assert ("Deployment", "x-evaluator") in setting.api.objects
        # Once may be by chance: nobody is alarmed.
        assert "conditions" not in setting.experiment.get("status", {})
        assert setting.queue.failures(KEY) == 1

        await setting.turn()
        message = "PersistentVolumeClaim x-learner was refused: failed calling webhook"
        assert setting.condition("Progressing") == ("False", "ChildRefused", message)
        assert setting.queue.failures(KEY) == 2

        setting.api.fault = lambda kind, verb: None
        await setting.turn()
        assert setting.condition("Progressing")[1] != "ChildRefused"
        assert setting.queue.failures(KEY) == 0

    asyncio.run(run())


def test_a_write_at_the_same_moment_as_anothers_is_tried_again_and_alarms_nobody():
    async def run():
        setting = Setting()
        error = Conflict("the object has been modified", status=409, reason="Conflict")
        setting.api.fault = refusal(DEPLOYMENT, error)
        await setting.turn()
        assert ("NetworkPolicy", "x") in setting.api.objects
        assert "conditions" not in setting.experiment.get("status", {})
        assert setting.queue.failures(KEY) == 1

        setting.api.fault = lambda kind, verb: None
        await setting.turn()
        assert setting.replicas("x-learner") == 1
        assert setting.condition("Progressing")[1] != "ChildRefused"

    asyncio.run(run())


def test_who_fights_over_a_child_is_answered_more_and_more_slowly():
    async def run():
        setting = Setting()
        await setting.turn()
        for fights in range(1, 5):
            body = setting.api.keep(DEPLOYMENT, setting.api.objects["Deployment", "x-actors"])
            del setting.api.objects["Deployment", "x-actors"]
            setting.cache.child(DEPLOYMENT, "DELETED", body)
            await setting.turn()
            assert setting.replicas("x-actors") == 1
            assert setting.queue.failures(KEY) == fights
        # An event of the other one's next change does not bring it forward.
        setting.queue.add(KEY, Urgency.NEW)
        assert len(setting.queue) == 0

        await setting.turn()
        assert setting.queue.failures(KEY) == 0

    asyncio.run(run())


@pytest.mark.parametrize("labelled", [True, False])
def test_no_learner_runs_on_a_volume_that_belongs_to_another(labelled):
    async def run():
        setting = Setting()
        # As an experiment of that name left it behind, or somebody of another trade.
        metadata = {"name": "x-learner", "namespace": "team"}
        if labelled:
            metadata["labels"] = {"greenroom.dev/experiment": "x"}
            metadata["annotations"] = {"greenroom.dev/owner": "a-run-of-before"}
        body = setting.api.keep(VOLUME_CLAIM, {"metadata": metadata, "spec": {}})
        setting.cache.child(VOLUME_CLAIM, "ADDED", body)
        for _ in range(2):
            await setting.turn()
            assert setting.replicas("x-learner") == 0
            assert setting.replicas("x-actors") == 1
        status, reason, message = setting.condition("Progressing")
        assert (status, reason) == ("False", "ChildRefused")
        assert "PersistentVolumeClaim x-learner is there already" in message

        # Away with it; then it goes on by itself.
        del setting.api.objects["PersistentVolumeClaim", "x-learner"]
        body["metadata"]["resourceVersion"] = str(next(setting.api.versions))
        setting.cache.child(VOLUME_CLAIM, "DELETED", body)
        await setting.turn()
        assert setting.replicas("x-learner") == 1

    asyncio.run(run())


def test_what_an_experiment_of_that_name_left_behind_is_made_ours():
    async def run():
        setting = Setting()
        await setting.turn()
        # `kubectl delete --cascade=orphan` and the same file again: another uid, no owner.
        body = copy.deepcopy(setting.experiment)
        del body["status"]
        body["metadata"]["uid"] = "another"
        del setting.api.objects["RLExperiment", "x"]
        setting.api.keep(EXPERIMENT, body, uid="another")
        setting.cache.experiment("ADDED", setting.experiment)
        for (kind, _), child in list(setting.api.objects.items()):
            if kind not in ("RLExperiment", "Secret"):
                del child["metadata"]["ownerReferences"]
                setting.cache.child(
                    BY_NAME[kind], "MODIFIED", setting.api.keep(BY_NAME[kind], child)
                )
        await setting.turn()

        learner = setting.api.objects[DEPLOYMENT.kind, "x-learner"]
        (owner,) = learner["metadata"]["ownerReferences"]
        assert owner["uid"] == "another"
        (container,) = learner["spec"]["template"]["spec"]["containers"]
        assert {"name": "GREENROOM_UID", "value": "another"} in container["env"]

    asyncio.run(run())


@pytest.mark.parametrize("seconds", [1.0, 15.0, 60.0])
def test_learners_are_asked_as_often_as_the_operator_is_told(seconds):
    async def run():
        setting = Setting(poll_seconds=seconds)
        labels = {"greenroom.dev/experiment": "x", "greenroom.dev/role": "learner"}
        metadata = {"name": "x-learner-1", "namespace": "team", "labels": labels}
        running = {"phase": "Running", "podIP": "127.0.0.1"}
        pod = setting.api.keep(POD, {"metadata": metadata, "status": running})
        setting.cache.pod("ADDED", pod)
        await setting.turn()
        assert setting.asked[-1] == pytest.approx(seconds, rel=0.11)

        # One that leaves is asked each second all the same.
        leaves = datetime.now(UTC) + timedelta(seconds=60)
        pod["metadata"] |= {"deletionTimestamp": leaves.isoformat()}
        setting.cache.pod("MODIFIED", setting.api.keep(POD, pod))
        await setting.turn()
        assert setting.asked[-1] == 1.0

    asyncio.run(run())
