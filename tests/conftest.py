"""What the tests of one folder share with others: helper modules, and one process for Reverb."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says nothing where others compute too.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

pytest_plugins = ["e2e.cluster.fixtures"]

for folder in ("launch", "replay", "roles", "variables"):
    sys.path.append(str(Path(__file__).with_name(folder)))


@pytest.fixture(scope="session")
def reverb_process(tmp_path_factory):
    """One process for all Reverb servers of a pytest worker; TensorFlow takes seconds to load."""
    from reverb_server import ReverbProcess

    process = ReverbProcess(tmp_path_factory.mktemp("reverb"))
    yield process
    process.close()
