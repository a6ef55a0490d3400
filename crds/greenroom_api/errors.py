"""What is wrong with an experiment: every problem at once, each with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: the field, such as ``spec.replay.minSize``; empty for the file as a whole.
        message: the rule, then what it got.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidExperiment(Exception):
    """An experiment that cannot be: the one error of this distribution.

    Attributes:
        source: where it comes from, a file as a rule.
        problems: all that is wrong, in the order of the file.

    ``str`` is one line a problem::

        cartpole.yaml: spec.agent.dqn.learningrate: unknown field, did you mean learningRate?
    """

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = list(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))
