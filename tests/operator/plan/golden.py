"""Golden manifests: what each file of ``input/`` is planned as, in ``output/``.

An input has an ``experiment`` as the API server holds it, and may have ``replicas`` by role,
``options`` of the operator, and ``children`` (kind/name) that are there already. An output
begins with the names of all objects, in their order; those that are as in ``minimal.yaml``
are not shown again.

    python tests/operator/plan/golden.py      # writes output/ anew; read the difference
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from plan_tools import NOW, OPTIONS, running, stored

from greenroom_operator.observed import Child, Observed
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


def planned_file(path: Path) -> tuple[dict[str, Any], ...]:
    """Return what an input is planned as."""
    given = yaml.safe_load(path.read_text())
    experiment = stored(given.pop("experiment"))
    decision = running(experiment)
    decision = replace(decision, replicas={**decision.replicas, **given.pop("replicas", {})})
    children = {
        tuple(key.split("/")): Child(**child) for key, child in given.pop("children", {}).items()
    }
    options = replace(OPTIONS, **given.pop("options", {}))
    assert not given, f"an input has no such parts: {', '.join(given)}"
    return plan(experiment, decision, Observed(NOW, children=children), options)


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
