"""Golden manifests: what each file of ``input/`` is planned as, in ``output/``.

An input has an ``experiment`` as the API server holds it, and may have ``replicas`` by role,
``options`` of the operator, ``children`` (kind/name) that are there already, and be ``queued``,
which makes a Workload of Kueue. An output
begins with the names of all objects, in their order; those that are as in ``minimal.yaml``
are not shown again.

    python tests/operator/plan/golden.py      # writes output/ anew; read the difference
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from plan_tools import NOW, OPTIONS, running, stored

from greenroom_operator.experiment import Experiment
from greenroom_operator.names import Role
from greenroom_operator.observed import Child, Manifest, Observed
from greenroom_operator.plan import plan

FOLDER = Path(__file__).parent
INPUTS = sorted((FOLDER / "input").glob("*.yaml"))
MINIMAL = FOLDER / "input" / "minimal.yaml"


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


@dataclass(frozen=True)
class Input:
    """What an input says."""

    experiment: dict[str, Any]
    replicas: dict[Role, int] = field(default_factory=dict)
    options: dict[str, bool] = field(default_factory=dict)
    children: dict[str, dict[str, Any]] = field(default_factory=dict)
    queued: bool = False

    @classmethod
    def read(cls, path: Path) -> Input:
        return cls(**yaml.safe_load(path.read_text()))

    def planned(self, experiment: Experiment) -> tuple[Manifest, ...]:
        decision = running(experiment)
        replicas = {**decision.replicas, **self.replicas}
        decision = replace(decision, replicas=replicas, queued=self.queued)
        children = {}
        for key, child in self.children.items():
            kind, name = key.split("/")
            children[kind, name] = Child(**child)
        observed = Observed(NOW, children=children)
        return plan(experiment, decision, observed, replace(OPTIONS, **self.options))


def planned_file(path: Path) -> tuple[Manifest, ...]:
    """Return what an input is planned as."""
    given = Input.read(path)
    return given.planned(stored(given.experiment))


def rendered(path: Path) -> str:
    """Return the output that belongs to an input."""
    manifests = planned_file(path)
    known = planned_file(MINIMAL) if path != MINIMAL else ()
    lines = [
        f"# {manifest['kind']} {manifest['metadata']['name']}"
        f"{', as in minimal.yaml' if manifest in known else ''}\n"
        for manifest in manifests
    ]
    shown = [manifest for manifest in manifests if manifest not in known]
    return "".join(lines) + yaml.dump_all(
        shown, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=100
    )


def output(path: Path) -> Path:
    """Return where the output of an input is."""
    return FOLDER / "output" / path.name


def main() -> None:
    """Write all outputs anew."""
    for old in (FOLDER / "output").glob("*.yaml"):
        old.unlink()
    for path in INPUTS:
        output(path).write_text(rendered(path))


if __name__ == "__main__":
    main()
