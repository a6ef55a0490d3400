"""A node whose pods run as real processes; `agent.py` says what it does and what it leaves out."""

from e2e.cluster.node.agent import NodeAgent as NodeAgent
from e2e.cluster.node.network import NodeError as NodeError
