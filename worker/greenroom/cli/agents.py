"""``greenroom agents``: what can be trained, and with which hyperparameters."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def agents(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List agents with their hyperparameters, types and defaults."""
    from greenroom_api import agent_fields

    fields = agent_fields()
    if json:
        typer.echo(json_module.dumps(fields, default=lambda field: field.__dict__, indent=2))
        return
    console = Console()
    for agent, hyperparameters in fields.items():
        table = Table(title=f"spec.agent.{agent}", title_justify="left", title_style="bold")
        table.add_column("hyperparameter", no_wrap=True)
        table.add_column("type")
        table.add_column("default")
        table.add_column("meaning")
        for field in hyperparameters:
            table.add_row(field.name, field.type, str(field.default), field.description)
        console.print(table)
