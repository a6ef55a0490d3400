"""What every source of variables does, in this process or another's."""

import contextlib

import pytest
import torch
from learner_tools import running, wait_until
from torch import nn

from greenroom.core import Variables
from greenroom.variables import LocalVariables, load_into
from greenroom.variables.polling import PolledVariables
from greenroom.variables.snapshots import DTYPES


@contextlib.contextmanager
def local(folder):
    variables = LocalVariables()
    yield variables.publish, variables.get


@contextlib.contextmanager
def in_the_learner(folder):
    with running(folder) as (service, _, _):
        yield service.publish, service.get


@contextlib.contextmanager
def asked(folder):
    with running(folder) as (service, client, _):
        yield service.publish, client.get_variables


@contextlib.contextmanager
def polled(folder):
    with running(folder) as (service, client, _):
        variables = PolledVariables(client, period=0.01)

        def publish(version, values):
            service.publish(version, values)
            wait_until(lambda: variables.version == version)

        yield publish, variables.get
        variables.close()


@pytest.fixture(params=[local, in_the_learner, asked, polled])
def ends(request, tmp_path):
    """The publisher's `publish` and the actor's `get`."""
    with request.param(tmp_path) as made:
        yield made


def test_there_is_nothing_before_the_first_is_published(ends):
    _, get = ends
    assert get(-1) is None


def test_only_what_is_newer_is_returned(ends):
    publish, get = ends
    publish(5, {"w": torch.ones(2)})
    assert get(-1).version == 5
    assert get(4).version == 5
    assert get(5) is None
    assert get(6) is None
    publish(9, {"w": torch.zeros(2)})
    newest = get(5)
    assert isinstance(newest, Variables)
    assert newest.version == 9
    assert newest.values["w"].tolist() == [0.0, 0.0]


def test_what_the_learner_does_afterwards_is_not_seen(ends):
    publish, get = ends
    weight = nn.Parameter(torch.ones(3))
    publish(0, {"w": weight})
    with torch.no_grad():
        weight.fill_(7)
    values = get(-1).values
    assert values["w"].tolist() == [1.0, 1.0, 1.0]
    assert not values["w"].requires_grad


def test_values_come_as_they_are(ends):
    publish, get = ends
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(0, 2, (4, 6), generator=generator)
    published = {str(dtype): bits.to(dtype) for dtype in sorted(DTYPES, key=str)}
    base = torch.randn(5, 7, generator=generator)
    published |= {
        "a number": torch.tensor(3.5),
        "nothing": torch.zeros(0, 3),
        "transposed": base.t(),
        "a part": base[1:4, ::2],
        "tied": base,
        "tied too": base,
        "not finite": torch.tensor([float("nan"), float("inf"), -0.0]),
        "Umlaut ä / and.dots": torch.tensor([1]),
        "large": torch.randn(700_000, generator=generator),
    }
    publish(1, published)
    values = get(-1).values
    assert values.keys() == published.keys()
    for name, tensor in published.items():
        assert values[name].dtype == tensor.dtype
        assert values[name].shape == tensor.shape
        same = values[name].contiguous().reshape(-1).view(torch.uint8)
        assert torch.equal(same, tensor.contiguous().reshape(-1).view(torch.uint8)), name


def test_no_variables_are_variables_too(ends):
    publish, get = ends
    publish(0, {})
    assert get(-1) == Variables(0, {})


def test_a_network_takes_them(ends):
    publish, get = ends
    learned = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    acting = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    publish(0, learned.state_dict())
    load_into(acting, get(-1).values)
    for name, tensor in learned.state_dict().items():
        assert torch.equal(acting.state_dict()[name], tensor)
