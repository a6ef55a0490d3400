"""Every replay there is, for the tests of what they have in common (`test_replay_contract_*`).

To put another implementation under the same tests, add a fixture ``make_NAME`` and NAME to
the parameters of `make_replay`.
Nothing there asks for more than the protocol (`greenroom.core.Replay`): inserts are flushed
before anything is expected of them, and no count is read before the call that causes it
returned.
"""

import numpy as np
import pytest

from greenroom.core import Replay
from greenroom.replay.embedded import EmbeddedReplay
from greenroom.replay.reverb_client import ReverbReplay
from greenroom.replay.tables import Table


@pytest.fixture
def make_embedded():
    return lambda tables: EmbeddedReplay(tables, np.random.default_rng(7))


@pytest.fixture
def make_reverb(reverb_process):
    """A client of a server of its own for each replay."""
    ports = []

    def make(tables):
        ports.append(reverb_process.start(tables))
        return ReverbReplay(f"127.0.0.1:{ports[-1]}", tables)

    yield make
    for port in ports:
        reverb_process.stop(port)


@pytest.fixture
def serve(reverb_process):
    """Start servers; return their addresses."""
    ports = []

    def start(*tables):
        ports.append(reverb_process.start(tables))
        return f"127.0.0.1:{ports[-1]}"

    yield start
    for port in ports:
        reverb_process.stop(port)


@pytest.fixture
def connect():
    """Make clients of servers; they are closed."""
    made = []

    def make(address, *tables, **options):
        made.append(ReverbReplay(address, tables, **options))
        return made[-1]

    yield make
    for replay in made:
        replay.close()


@pytest.fixture(params=["embedded", "reverb"])
def make_replay(request):
    make_one = request.getfixturevalue(f"make_{request.param}")
    made: list[Replay] = []

    def make(*tables: Table) -> Replay:
        made.append(make_one(tables))
        return made[-1]

    yield make
    for replay in made:
        replay.close()
