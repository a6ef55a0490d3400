"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ExperimentFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="An RLExperiment in YAML.", show_default=False)
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override a field: --set spec.stop.environmentSteps=3000. May be repeated.",
        show_default=False,
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Override spec.seed.", show_default=False)]
RunPath = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A run directory, as runs/NAME.", show_default=False),
]
