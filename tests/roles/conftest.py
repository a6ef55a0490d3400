import pytest
from reverb_server import ReverbProcess


@pytest.fixture(scope="session")
def reverb_process(tmp_path_factory):
    """One process for all Reverb servers of a pytest worker."""
    process = ReverbProcess(tmp_path_factory.mktemp("reverb"))
    yield process
    process.close()
