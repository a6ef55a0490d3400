"""A learner's service with a client, for the tests of variables."""

import pytest
from learner_tools import running


@pytest.fixture
def learner(tmp_path):
    with running(tmp_path) as made:
        yield made
