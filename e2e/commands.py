"""The commands of a documentation page, run as a reader runs them.

page = commands(REPOSITORY / "docs" / "quickstart-laptop.md")
folder = copy_of_checkout(tmp_path / "greenroom")
printed = run(page, folder, environment(folder), seconds=600.0)

A block fenced as ``console`` holds a session: a line that begins with ``$`` is a command, the
lines that end in a backslash go on in the next, and all else is what was printed. A block fenced
as ``python`` is a program, run in the same folder. Anything else is not run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
WATCHED_SECONDS = 10
"""For so long a command with --watch is looked at; a reader ends it with Ctrl-C."""

_FENCE = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = "$ "


class PageError(AssertionError):
    """A command of a page did not end as it should; the message says which, and what it said."""


@dataclass(frozen=True)
class Command:
    """What a page asks its reader to run.

    Attributes:
        line: in the page.
        text: for bash.
        fails: whether the page shows how it is refused.
    """

    line: int
    text: str
    fails: bool = False

    def script(self) -> str:
        """Return bash that runs it, and ends the session if it does not end as it should."""
        shown = f"{self.line}: {self.text}"
        if "--watch" in self.text.split():
            # 124 is timeout's own status: it was watched for long enough.
            wanted, text = "0|124", f"timeout {WATCHED_SECONDS} {self.text}"
        else:
            wanted, text = ("[1-9]*" if self.fails else "0"), self.text
        otherwise = f"printf '%s\\n' {quoted(f'not as told: {shown}')}; exit 1"
        return f"echo {quoted(shown)}\n{text}\ncase $? in {wanted}) ;; *) {otherwise};; esac\n"


def commands(page: Path, refused: Sequence[str] = ()) -> list[Command]:
    """Return the commands of a page, in order.

    Args:
        refused: beginnings of commands that the page shows the refusal of.
    """
    text = page.read_text()
    found = []
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start(2)) + 1
        if fence[1] == "python":
            found.append(Command(line, f"python - <<'PROGRAM'\n{fence[2]}PROGRAM"))
        else:
            found += _session(fence[2].splitlines(), line)
    unknown = [start for start in refused if not any(one.text.startswith(start) for one in found)]
    assert not unknown, f"{page.name} must have what is said to be refused. Got: {unknown}"
    return [
        Command(one.line, one.text, one.text.startswith(tuple(refused)) if refused else False)
        for one in found
    ]


def _session(lines: list[str], first: int) -> Iterator[Command]:
    numbered = iter(enumerate(lines, first))
    for number, line in numbered:
        if not line.startswith(_PROMPT):
            continue
        parts = [line.removeprefix(_PROMPT)]
        while parts[-1].endswith("\\"):
            parts.append(next(numbered)[1])
        yield Command(number, "\n".join(parts))


def quoted(text: str) -> str:
    """Return a word of bash."""
    return "'" + text.replace("'", "'\\''") + "'"


def copy_of_checkout(target: Path) -> Path:
    """Return a clone of this checkout with what was changed in it since, as a reader has it.

    Tools and Python packages are the checkout's own, by links: to install them again would take
    7 GB. So make must believe that they are as the lock file says, which they are.
    """
    _git("clone", "--quiet", str(REPOSITORY), str(target))
    changed = _git("ls-files", "-z", "--modified", "--others", "--exclude-standard")
    for name in filter(None, changed.split("\0")):
        copy = target / name
        if (REPOSITORY / name).is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((REPOSITORY / name).read_bytes())
        else:
            copy.unlink(missing_ok=True)
    for name in (".venv", ".tools"):
        (target / name).symlink_to(REPOSITORY / name)
    for file in (target / "pyproject.toml", target / "uv.lock", *target.glob("*/pyproject.toml")):
        os.utime(file, (0, 0))
    return target


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a session in a copy of the checkout.

    The copy's own modules are run, though the packages that are installed are the checkout's, and
    uv must not install the copy in their place.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    sources = (folder, folder / "crds", folder / "worker", folder / "operator")
    return inherited | {
        "PYTHONPATH": os.pathsep.join(str(source) for source in sources),
        "UV_NO_SYNC": "1",
        **more,
    }


def run(
    session: Sequence[Command], folder: Path, variables: Mapping[str, str], seconds: float
) -> str:
    """Run commands in one bash, in `folder`; return what they printed.

    Raises:
        PageError: one did not end as it should, or all took longer than that.
    """
    script = folder.with_name("session.sh")
    lines = ["set -o pipefail\n", *(command.script() for command in session)]
    script.write_text("".join(lines))
    process = subprocess.Popen(
        ["bash", str(script)],
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        _end(process)
        printed, _ = process.communicate()
        raise PageError(f"It must end within {seconds:g} s. Got: {printed[-5000:]}") from error
    except BaseException:
        _end(process)
        raise
    if process.returncode:
        raise PageError(printed[-5000:])
    return printed


def _end(process: subprocess.Popen[str]) -> None:
    """Kill bash and what it started."""
    os.killpg(process.pid, signal.SIGKILL)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
