"""Variables: the way of parameters back from learner to actors."""

from greenroom.variables.local import LocalVariables, load_into

__all__ = ["LocalVariables", "load_into"]
