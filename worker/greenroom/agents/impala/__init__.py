"""IMPALA (Espeholt et al. 2018): an actor-critic that corrects for the lag of its actors'
parameters (V-trace), with or without a memory.
"""

from greenroom.agents.impala.builder import IMPALABuilder

__all__ = ["IMPALABuilder"]
