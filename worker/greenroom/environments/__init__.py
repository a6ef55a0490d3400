"""Environments: Gymnasium vector environments behind one meaning of a step."""

from greenroom.environments.environment import Environment
from greenroom.environments.making import EnvironmentDescription, make_environment

__all__ = ["Environment", "EnvironmentDescription", "make_environment"]
