import copy
import json
import subprocess
import sys
from collections import OrderedDict, namedtuple

import numpy as np
import optree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_tools import make_table

from greenroom.errors import ConfigurationError
from greenroom.replay.descriptions import (
    DTYPES,
    differences,
    tables_from_json,
    tables_to_json,
)
from greenroom.replay.tables import (
    NO_LIMIT,
    Fifo,
    Lifo,
    Prioritized,
    RateLimiter,
    Table,
    Uniform,
)
from greenroom.specs import ArraySpec

Pair = namedtuple("Pair", ["second", "first"])

specs = st.builds(
    lambda varies, shape, dtype: ArraySpec((None, *shape) if varies else tuple(shape), dtype),
    st.booleans(),
    st.lists(st.integers(0, 100), max_size=3),
    st.sampled_from(DTYPES).map(np.dtype),
)


def trees(more_nodes=()):
    def nodes(children):
        named = st.dictionaries(st.text(max_size=3), children, max_size=3)
        listed = st.lists(children, max_size=3)
        return st.one_of(named, listed, listed.map(tuple), *(node(children) for node in more_nodes))

    return st.recursive(specs, nodes, max_leaves=8)


foreign_trees = trees(
    [
        lambda children: st.builds(Pair, children, children),
        lambda children: st.dictionaries(st.text(max_size=3), children, max_size=3).map(
            OrderedDict
        ),
        lambda children: st.dictionaries(st.integers(0, 9), children, max_size=3),
        lambda children: st.none(),
    ]
)
bounds = st.floats(-NO_LIMIT, NO_LIMIT, allow_nan=False, allow_infinity=False)
limiters = st.builds(
    RateLimiter,
    st.floats(0, NO_LIMIT, exclude_min=True, allow_infinity=False),
    st.integers(1, 10),
    bounds,
    bounds,
)
selectors = st.one_of(
    st.sampled_from([Uniform(), Fifo(), Lifo()]),
    st.builds(Prioritized, st.floats(0, 10)),
)


@st.composite
def tables(draw, signatures):
    limiter = draw(limiters)
    return Table(
        draw(st.text(min_size=1, max_size=5)),
        draw(selectors),
        draw(selectors),
        limiter,
        limiter.min_size + draw(st.integers(0, 2**53 - 11)),
        draw(signatures),
        draw(st.integers(0, 2**31 - 1)),
    )


def replays(signatures):
    return st.lists(tables(signatures), min_size=1, max_size=3, unique_by=lambda table: table.name)


def over_the_wire(description):
    return json.loads(json.dumps(description, allow_nan=False))


@settings(max_examples=150, deadline=None)
@given(replays(trees()))
def test_tables_survive_the_way_through_json(replay):
    assert tables_from_json(over_the_wire(tables_to_json(replay))) == replay


@settings(max_examples=150, deadline=None)
@given(foreign_trees)
def test_leaves_keep_their_order_whatever_held_them(signature):
    table = make_table(signature=signature)
    (read,) = tables_from_json(over_the_wire(tables_to_json([table])))
    assert optree.tree_leaves(read.signature) == optree.tree_leaves(signature)
    again = tables_to_json([read])
    assert again == tables_to_json([table])


def test_a_named_tuple_keeps_the_order_of_its_fields():
    first, second = ArraySpec((1,), np.dtype("int8")), ArraySpec((2,), np.dtype("int8"))
    (read,) = tables_from_json(tables_to_json([make_table(signature=Pair(second, first))]))
    assert read.signature == (second, first)


GOOD = tables_to_json(
    [
        make_table(
            name="first",
            sampler=Prioritized(0.6),
            signature={"observation": ArraySpec((None, 4), np.dtype(np.float32)), "rest": ()},
        ),
        Table.queue("second", 8, ArraySpec((), np.dtype(np.int64))),
    ]
)


def changed(path, value):
    description = copy.deepcopy(GOOD)
    *parents, last = path
    place = description
    for step in parents:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return description


LIMITER = ("tables", 0, "limiter")
LEAF = ("tables", 0, "signature", "dict", "observation")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("version",), 2, "must be an object of version 1. Got: version 2."),
        (("version",), ..., "must be an object of version 1. Got: version None."),
        (("tables",), {}, "tables must be a list. Got: {}."),
        (("tables",), [], "needs tables, each with a name of its own. Got: []."),
        (("tables", 1, "name"), "first", "a name of its own. Got: ['first', 'first']."),
        (("tables", 0, "name"), "", "tables[0].name must be a text that is not empty. Got: ''."),
        (("tables", 1), 7, "tables[1] must be an object with the fields name, sampler"),
        (("tables", 1, "maxSize"), ..., "tables[1] must have the fields name, sampler"),
        (("tables", 1, "limit"), 3, "and no others. Got: name, sampler"),
        (("tables", 1, "maxSize"), 0, "tables[1].maxSize must be an integer from 1 to"),
        (("tables", 1, "maxSize"), True, "Got: True."),
        (("tables", 1, "maxSize"), 8.0, "Got: 8.0."),
        (("tables", 0, "maxTimesSampled"), 2**31, "Got: 2147483648."),
        (("tables", 0, "sampler"), {"type": "Heap"}, "tables[0].sampler must be an object of type"),
        (("tables", 0, "sampler"), "Uniform", "Got: 'Uniform'."),
        (("tables", 0, "remover", "exponent"), 1.0, "tables[0].remover must have the fields type,"),
        (("tables", 0, "sampler", "exponent"), "1", "sampler.exponent must be a finite number."),
        (("tables", 0, "sampler", "exponent"), -1, "sampler: A priority exponent must be finite"),
        ((*LIMITER, "minSize"), 101, "tables[0]: Table 'first': min_size must not exceed max_size"),
        ((*LIMITER, "minSize"), "1", "tables[0].limiter.minSize must be an integer from 1 to"),
        ((*LIMITER, "samplesPerInsert"), 0, "limiter: samples_per_insert must be positive"),
        ((*LIMITER, "minDiff"), -float("inf"), "minDiff must be a finite number. Got: -inf"),
        ((*LIMITER, "maxDiff"), float("nan"), "limiter.maxDiff must be a finite number. Got: nan"),
        ((*LIMITER, "maxDiff"), 10**400, "limiter.maxDiff must be a finite number. Got: 1000"),
        ((*LIMITER, "maxDiff"), None, "limiter.maxDiff must be a finite number. Got: None"),
        ((*LEAF, "dtype"), "U5", "signature['observation'].dtype must be one of bool, int8"),
        ((*LEAF, "dtype"), ["int8"], "Got: ['int8']."),
        ((*LEAF, "shape"), 4, "signature['observation'].shape must be a list. Got: 4."),
        ((*LEAF, "shape"), [4, None], "signature['observation'].shape[1] must be an integer"),
        ((*LEAF, "shape"), [-1], "signature['observation'].shape[0] must be an integer"),
        ((*LEAF, "name"), "x", "signature['observation'] must be an object with \"dict\""),
        (LEAF, {"list": [], "tuple": []}, "signature['observation'] must be an object with"),
        (LEAF, {"list": [3]}, "signature['observation'][0] must be an object with"),
        (LEAF[:-1], {3: {"tuple": []}}, "tables[0].signature must be an object whose keys are"),
    ],
)
def test_a_bad_description_is_refused_with_place_rule_and_value(path, value, message):
    with pytest.raises(ConfigurationError) as refused:
        tables_from_json(changed(path, value))
    assert message in str(refused.value)


def test_what_is_no_object_is_refused():
    with pytest.raises(ConfigurationError, match=r"version 1\. Got: \[\]\."):
        tables_from_json([])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signature": ArraySpec((), np.dtype(">f4"))}, "dtype must be one of .* Got: '>f4'"),
        ({"signature": ArraySpec((), np.dtype("U5"))}, "Got: '<U5'"),
        ({"signature": {"a": [3]}}, r"signature\['a'\]\[0\] must be a tree of ArraySpec. Got: 3"),
        ({"limiter": RateLimiter(1.0, 1, 0.0, float("inf"))}, "maxDiff must be a finite number"),
        ({"name": ""}, "name must be a text that is not empty"),
    ],
)
def test_what_could_not_be_read_is_refused_when_it_is_written(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        tables_to_json([make_table(**changes)])


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ((*LIMITER, "maxDiff"), 9.0, "table 'first'.limiter.maxDiff was 1.7976931348623157e+308"),
        ((*LEAF, "shape"), [5], "observation.shape was [None, 4], is [5]"),
        ((*LEAF, "shape"), ..., "observation.shape is gone"),
        (("tables", 0, "sampler"), {"type": "Uniform"}, "sampler.exponent is gone"),
        (("tables", 1, "maxSize"), 9, "table 'second'.maxSize was 8, is 9"),
        (("tables", 1), ..., "table 'second' is gone"),
    ],
)
def test_differences_are_told_one_by_one(path, value, told):
    assert any(told in line for line in differences(GOOD, changed(path, value)))


def test_nothing_differs_between_equal_descriptions_in_another_order():
    other = {"tables": GOOD["tables"][::-1], "version": 1}
    assert differences(GOOD, other) == []


def test_reading_descriptions_needs_no_library_of_learning_or_environments():
    program = (
        "import sys, greenroom.replay.descriptions\n"
        "print({'torch', 'gymnasium', 'tensorflow', 'reverb'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"
