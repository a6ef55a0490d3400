"""The cache against a naive model: a cluster whose events come late, twice, or never."""

from datetime import UTC, datetime

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greenroom_operator.cache import Cache
from greenroom_operator.kinds import CONFIG_MAP, EXPERIMENT, POD, SERVICE
from greenroom_operator.observed import Progress

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEYS = [("team", "a"), ("team", "b"), ("other", "a")]
KINDS = [EXPERIMENT, CONFIG_MAP, SERVICE, POD]
PLACES = [
    (kind, key, name)
    for key in KEYS
    for kind, name in [(EXPERIMENT, key[1]), (CONFIG_MAP, "c"), (SERVICE, "s"), (POD, "p")]
]


def body_of(kind, key, name, uid, version, content):
    """Return an object as the API server tells of it."""
    metadata = {
        "namespace": key[0],
        "name": name if kind is EXPERIMENT else f"{key[1]}-{name}",
        "uid": uid,
        "resourceVersion": str(version),
        "generation": content + 1,
        "labels": {"greenroom.dev/experiment": key[1], "greenroom.dev/role": "actor"},
        "annotations": {"greenroom.dev/applied": str(content)},
    }
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": metadata,
        "spec": {},
        "status": {"podIP": f"10.0.0.{content}"},
    }


class CacheMachine(RuleBasedStateMachine):
    """A cluster that changes; a cache that is told of it in any order, and by whole lists."""

    def __init__(self):
        super().__init__()
        self.cache = Cache()
        self.version = 1000
        self.live = {}  # place: body
        self.untold = []  # events that were not told yet
        self.told = []  # and those that were
        self.known = {}  # place: body, as a cache ought to have it

    def note(self, kind, event, body, place):
        """Tell the cache of an event, and the model of what it means."""
        version = int(body["metadata"]["resourceVersion"])
        before = self.known.get(place)
        same = before is not None and before["metadata"]["uid"] == body["metadata"]["uid"]
        newer = before is None or int(before["metadata"]["resourceVersion"]) < version
        changed = self.tell(kind, event, body)
        if event == "DELETED":
            # An end of what is not known, or of a predecessor, is no news.
            if same and newer:
                del self.known[place]
            assert (changed == place[1]) == (same and newer)
            return
        if newer:
            self.known[place] = body
        else:
            assert changed is None

    def tell(self, kind, event, body):
        if kind is EXPERIMENT:
            return self.cache.experiment(event, body)
        if kind is POD:
            return self.cache.pod(event, body)
        return self.cache.child(kind, event, body)

    @rule(place=st.sampled_from(PLACES), content=st.integers(0, 3))
    def changes(self, place, content):
        """An object is made, or changed."""
        self.version += 1
        old = self.live.get(place)
        uid = old["metadata"]["uid"] if old else f"uid-{self.version}"
        body = body_of(*place, uid, self.version, content)
        self.live[place] = body
        self.untold.append(("MODIFIED" if old else "ADDED", body, place))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def ends(self, data):
        """An object is deleted; its last event has a version of its own."""
        place = data.draw(st.sampled_from(sorted(self.live, key=str)))
        self.version += 1
        body = self.live.pop(place)
        metadata = {**body["metadata"], "resourceVersion": str(self.version)}
        self.untold.append(("DELETED", {**body, "metadata": metadata}, place))

    @precondition(lambda self: self.untold)
    @rule()
    def the_next_event_is_told(self):
        event, body, place = self.untold.pop(0)
        self.told.append((event, body, place))
        self.note(place[0], event, body, place)

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def an_event_is_told_again(self, data):
        """Two watches, a list anew, or an answer to a write: what is old comes again."""
        event, body, place = data.draw(st.sampled_from(self.told))
        if event != "DELETED" and place not in self.known:
            return  # nothing tells it from a new one; a list will mend that
        self.note(place[0], event, body, place)

    @precondition(lambda self: self.untold)
    @rule(data=st.data())
    def the_watch_of_an_object_breaks_off(self, data):
        """Events are lost for ever."""
        place = data.draw(st.sampled_from([place for _, _, place in self.untold]))
        self.untold = [entry for entry in self.untold if entry[2] != place]

    @rule(kind=st.sampled_from(KINDS))
    def a_kind_is_listed(self, kind):
        """After that, all of the kind is as it is."""
        listed = self.version
        seen = {}
        for place, body in self.live.items():
            if place[0] is kind:
                self.tell(kind, None, body)
                seen.setdefault(place[1], set()).add(body["metadata"]["name"])
                self.known[place] = body
        gone = {p for p in self.known if p[0] is kind and p not in self.live}
        lost = self.cache.retain(kind, seen, listed)
        assert set(lost) == {place[1] for place in gone}
        for place in gone:
            del self.known[place]
        self.untold = [entry for entry in self.untold if entry[2][0] is not kind]

    @invariant()
    def it_knows_what_the_model_knows(self):
        assert set(self.cache.keys()) == {p[1] for p in self.known if p[0] is EXPERIMENT}
        for key in KEYS:
            mine = {place: body for place, body in self.known.items() if place[1] == key}
            assert (self.cache.peek(key) is None) == (not mine)
            if not mine:
                continue
            seen = self.cache.observed(key, NOW)
            children = {
                (place[0].kind, body["metadata"]["name"]): (
                    body["metadata"]["uid"],
                    body["metadata"]["annotations"]["greenroom.dev/applied"],
                )
                for place, body in mine.items()
                if place[0] in (CONFIG_MAP, SERVICE)
            }
            assert {k: (c.uid, c.applied) for k, c in seen.children.items()} == children
            pods = [
                (b["metadata"]["uid"], b["status"]["podIP"]) for p, b in mine.items() if p[0] is POD
            ]
            assert [(pod.uid, pod.ip) for pod in seen.pods] == pods
            stored = self.cache.stored(key)
            experiment = mine.get((EXPERIMENT, key, key[1]))
            assert (stored and (stored.uid, stored.generation)) == (
                experiment and (experiment["metadata"]["uid"], experiment["metadata"]["generation"])
            )


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


def test_a_successor_does_not_inherit_what_was_true_of_the_one_before():
    cache, key = Cache(), KEYS[0]
    cache.experiment("ADDED", body_of(EXPERIMENT, key, "a", "first", 1, 0))
    family = cache.family(key)
    family.progress = Progress(NOW, "pod", "finished")
    family.refused = {("Service", "a-learner"): "no"}

    # Its deletion was missed.
    cache.experiment("ADDED", body_of(EXPERIMENT, key, "a", "second", 2, 0))

    seen = cache.observed(key, NOW)
    assert (seen.progress, seen.refused) == (None, {})


def test_what_is_newer_than_a_list_is_not_lost_by_it():
    cache, key = Cache(), KEYS[0]
    cache.child(SERVICE, "ADDED", body_of(SERVICE, key, "s", "uid", 20, 0))

    assert cache.retain(SERVICE, {}, before=10) == []
    assert ("Service", "a-s") in cache.observed(key, NOW).children
    assert cache.retain(SERVICE, {}, before=20) == [key]


def test_an_event_that_changes_nothing_that_matters_asks_for_nothing():
    cache, key = Cache(), KEYS[0]
    assert cache.child(SERVICE, "ADDED", body_of(SERVICE, key, "s", "uid", 1, 0)) == key
    assert cache.child(SERVICE, "MODIFIED", body_of(SERVICE, key, "s", "uid", 2, 0)) is None
