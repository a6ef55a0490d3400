"""A newer operator, whose pods are written in another way, beside what an older one has applied."""

import asyncio
import copy

from reconciling import KEY, Setting

from greenroom_operator.kinds import DEPLOYMENT, EXPERIMENT
from greenroom_operator.names import APPLIED

# The digest of a manifest that this operator would not make.
OLDER = "older"


class Upgraded(Setting):
    """A setting whose experiment is as planned; `writes` are those of children since then."""

    async def begin(self):
        """Make all children, until nothing is left to do."""
        await self.turn()
        await self.turn()
        self.writes = []

        def note(kind, verb):
            if kind is not EXPERIMENT:
                self.writes.append((verb, kind.kind))

        self.api.fault = note

    def deployment(self, name):
        return copy.deepcopy(self.api.objects["Deployment", name])

    def age(self, name):
        """Have a Deployment be as another version of the operator left it; return it."""
        body = self.deployment(name)
        body["metadata"]["annotations"][APPLIED] = OLDER
        # What the other one wrote: what runs is the same, the form is not.
        body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 7
        self.cache.child(DEPLOYMENT, "MODIFIED", self.api.keep(DEPLOYMENT, body))
        return self.deployment(name)

    def specify(self, **sections):
        """Change the experiment's spec."""
        body = copy.deepcopy(self.experiment)
        body["spec"] |= sections
        generation = body["metadata"]["generation"] + 1
        self.cache.experiment("MODIFIED", self.api.keep(EXPERIMENT, body, generation=generation))


def form(deployment):
    return deployment["spec"]["template"]


def without_version(body):
    metadata = {k: v for k, v in body["metadata"].items() if k != "resourceVersion"}
    return {**body, "metadata": metadata}


def test_pods_that_run_keep_the_form_that_an_older_operator_gave_them():
    async def run():
        setting = Upgraded()
        await setting.begin()
        before = setting.age("x-learner")
        await setting.turn()
        await setting.turn()
        assert setting.writes == []
        assert setting.deployment("x-learner") == before
        assert setting.queue.failures(KEY) == 0

    asyncio.run(run())


def test_pods_of_the_older_form_are_scaled_and_nothing_else_is_written():
    async def run():
        setting = Upgraded()
        await setting.begin()
        before = setting.age("x-actors")
        setting.specify(actors={"replicas": 3})
        await setting.turn()

        # The number of actors is the learner's business, too; its pods do not start anew for it.
        assert setting.writes.count(("merge", "Deployment")) == 1
        before["spec"]["replicas"] = 3
        assert without_version(setting.deployment("x-actors")) == without_version(before)
        assert setting.queue.failures(KEY) == 0, "nobody was corrected"

    asyncio.run(run())


def test_pods_that_have_left_come_back_in_the_new_form():
    async def run():
        setting = Upgraded()
        await setting.begin()
        planned = form(setting.deployment("x-learner"))
        before = setting.age("x-learner")
        assert form(before) != planned
        setting.specify(suspend=True)
        while setting.replicas("x-learner"):
            written = len(setting.writes)
            await setting.turn()
            assert len(setting.writes) > written, "nothing leaves any more"
        # The end of them is no reason to roll them first.
        before["spec"]["replicas"] = 0
        assert without_version(setting.deployment("x-learner")) == without_version(before)

        await setting.turn()
        resting = setting.deployment("x-learner")
        assert resting["metadata"]["annotations"][APPLIED] != OLDER
        assert form(resting) == planned
        assert resting["spec"]["replicas"] == 0

    asyncio.run(run())


def test_pods_of_the_older_form_that_must_run_something_else_take_the_new_form():
    async def run():
        setting = Upgraded()
        await setting.begin()
        planned = form(setting.deployment("x-learner"))
        setting.age("x-learner")
        setting.specify(agent={"dqn": {"learningRate": 0.5}})
        await setting.turn()

        learner = setting.deployment("x-learner")
        assert learner["metadata"]["annotations"][APPLIED] != OLDER
        # Nothing but the digest of what its pods are started from differs from the first one's.
        assert form(learner)["spec"] == planned["spec"]
        assert form(learner)["metadata"] != planned["metadata"]

    asyncio.run(run())
