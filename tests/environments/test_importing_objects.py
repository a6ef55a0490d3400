"""Objects named as module:name."""

import collections
import sys

import pytest

from greenroom.errors import ConfigurationError
from greenroom.imports import load_object


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """Change into a new directory; forget what is imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_an_installed_object():
    assert load_object("collections:OrderedDict", "example") is collections.OrderedDict
    assert load_object("collections:OrderedDict.fromkeys", "example")("a") == {"a": None}


def test_an_object_of_the_current_directory(directory):
    package = directory / "toy_package"
    package.mkdir()
    (package / "inner.py").write_text("VALUE = 5\n")
    assert load_object("toy_package.inner:VALUE", "example") == 5


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("collections.OrderedDict", r"\(did you mean collections:OrderedDict\?\)"),
        ("collections", "be given as 'module:name'. Got: 'collections'"),
        ("collections:", "be given as 'module:name'"),
        (":OrderedDict", "be given as 'module:name'"),
        ("a b:c", "be given as 'module:name'"),
        ("../evil:x", "be given as 'module:name'"),
        ("collections:OrderedDictt", r"no 'OrderedDictt' there \(did you mean OrderedDict\?\)"),
        ("colections:OrderedDict", r"no module 'colections' \(did you mean collections"),
        ("collections.abcd:Set", r"no module 'collections.abcd' \(did you mean collections.abc\?"),
    ],
)
def test_what_cannot_be_found(reference, message):
    with pytest.raises(ConfigurationError, match=rf"^The example must .*{message}"):
        load_object(reference, "example")


def test_a_module_that_raises(directory):
    (directory / "toy_raising.py").write_text("1 / 0\n")
    with pytest.raises(
        ConfigurationError, match="'toy_raising' raised ZeroDivisionError"
    ) as caught:
        load_object("toy_raising:x", "example")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_module_that_needs_a_missing_one(directory):
    (directory / "toy_needing.py").write_text("import no_such_module\n")
    with pytest.raises(
        ConfigurationError, match=r"'toy_needing' raised ModuleNotFoundError: .*no_such"
    ):
        load_object("toy_needing:x", "example")
