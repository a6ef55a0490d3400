"""DQN (Mnih et al. 2015), with what of Rainbow (Hessel et al. 2018) can be switched on:
double, dueling, n-step, prioritized.
"""

from greenroom.agents.dqn.builder import DQNBuilder

__all__ = ["DQNBuilder"]
