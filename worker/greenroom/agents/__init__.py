"""Agents. Each folder holds the same files: networks, losses, learning, builder.

`AGENTS` maps the member of ``spec.agent`` to its builder; nothing else names an agent.
"""

from greenroom.agents.registry import AGENTS, make_builder

__all__ = ["AGENTS", "make_builder"]
