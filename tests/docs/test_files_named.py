"""Files that pages name are there; MkDocs itself checks the links between pages of the site."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import pytest
import yaml

from e2e.commands import REPOSITORY

SITE = sorted((REPOSITORY / "docs").glob("*.md"))
OTHERS = [
    *REPOSITORY.glob("*.md"),
    *REPOSITORY.glob("e2e/**/README.md"),
    *REPOSITORY.glob("examples/**/README.md"),
]
FOLDERS = ("benchmarks", "charts", "crds", "docs", "e2e", "examples", "operator", "worker")
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
_PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")


def name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", OTHERS, ids=name)
def test_links_of_a_page_outside_the_site_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", SITE, ids=name)
def test_files_that_the_site_names_are_there(page: Path) -> None:
    missing = [path for path in _PATH.findall(page.read_text()) if not (REPOSITORY / path).exists()]
    assert not missing


def test_the_patch_that_the_quickstart_shows_is_the_one_that_it_applies() -> None:
    page = (REPOSITORY / "docs" / "quickstart-cluster.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    patch = yaml.safe_load((REPOSITORY / "docs" / "files" / "gpu.yaml").read_text())
    assert patch in [yaml.safe_load(block) for block in blocks]


def test_every_page_of_the_site_is_named_in_the_readme() -> None:
    linked = set(_LINK.findall((REPOSITORY / "README.md").read_text()))
    assert not {name(page) for page in SITE} - linked


def test_pages_are_looked_for_where_they_are() -> None:
    assert len(SITE) > 10
    assert len(OTHERS) > 2
    assert list(chain.from_iterable(_PATH.findall(page.read_text()) for page in SITE))
