"""What the documentation asks its reader to type works, in the order in which it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.commands import REPOSITORY, PageError, commands, copy_of_checkout, environment, run

DOCS = REPOSITORY / "docs"

PAGE = """\
```console
$ true    # says nothing
and this was printed
$ printf '%s-%s\\n' \\
    first second
$ cd / && there=1
```

```python
print("it's", 6 * 7)
```

```text
$ false
```

```console
$ pwd; echo "$there"
```
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def test_commands_are_run_in_one_session_and_what_was_printed_is_not(folder: Path) -> None:
    page = folder / "page.md"
    page.write_text(PAGE)
    found = commands(page)
    assert [command.line for command in found] == [2, 4, 6, 10, 18]
    printed = run(found, folder, environment(folder), seconds=60.0).splitlines()
    assert "first-second" in printed
    assert "it's 42" in printed
    assert printed[-2:] == ["/", "1"]


@pytest.mark.parametrize(
    "line", ["$ false", "$ false | true", "$ kubectl-is-not-here get rlx --watch", "$ sleep 60"]
)
def test_a_command_that_does_not_end_well_is_named(folder: Path, line: str) -> None:
    page = folder / "page.md"
    page.write_text(f"```console\n{line}\n$ echo never\n```\n")
    with pytest.raises(PageError, match=line.split()[1]) as caught:
        run(commands(page), folder, environment(folder), seconds=3.0)
    assert "never" not in str(caught.value)


def test_a_refusal_that_the_page_shows_must_be_one(folder: Path) -> None:
    page = folder / "page.md"
    page.write_text("```console\n$ false\n```\n")
    run(commands(page, refused=["false"]), folder, environment(folder), seconds=10.0)
    page.write_text("```console\n$ true\n```\n")
    with pytest.raises(PageError):
        run(commands(page, refused=["true"]), folder, environment(folder), seconds=10.0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quickstart_on_a_laptop(tmp_path: Path) -> None:
    folder = copy_of_checkout(tmp_path / "greenroom")
    variables = environment(folder, HOME=str(tmp_path))
    printed = run(commands(DOCS / "quickstart-laptop.md"), folder, variables, seconds=1740.0)
    assert printed.count("Succeeded") >= 5
    for left in ("runs/first/policy", "cartpole.mp4", "learning-curves.png"):
        assert (folder / left).exists()
