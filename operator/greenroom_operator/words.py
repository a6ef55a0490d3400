"""Messages for people: one line, bounded, and the same as long as nothing happens."""

from __future__ import annotations

import signal

LIMIT = 1024
"""Characters of a message that an event can carry too."""

PART_LIMIT = 400
"""Characters of another program's words within a message, such that several find room."""


def bounded(text: str, limit: int = LIMIT) -> str:
    r"""Return text on one line, cut where it is too long.

    >>> bounded("one\n  two")
    'one two'
    >>> bounded("abcdef", 4)
    'abc…'
    """
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def last_line(text: str) -> str:
    r"""Return the last line that is not empty.

    >>> last_line("Traceback:\n  ...\nValueError: no\n\n")
    'ValueError: no'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return bounded(lines[-1], PART_LIMIT) if lines else ""


def exit_words(code: int) -> str:
    """Return how a process ended.

    >>> exit_words(1), exit_words(137)
    ('exit code 1', 'exit code 137 (SIGKILL)')
    """
    if code > 128:
        try:
            return f"exit code {code} ({signal.Signals(code - 128).name})"
        except ValueError:
            pass
    return f"exit code {code}"


def times(count: int, what: str) -> str:
    """Return a count with its noun.

    >>> times(1, "restart"), times(2, "restart")
    ('1 restart', '2 restarts')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def listed(parts: list[str]) -> str:
    """Return parts as a sentence lists them.

    >>> listed(["replay", "learner", "actors"])
    'replay, learner and actors'
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
