"""Variables: the way of parameters back from learner to actors.

Within one process that is `LocalVariables`. Between processes it is
`greenroom.variables.service` in the learner, and `greenroom.variables.remote` and
`greenroom.variables.polling` in the others; the same service takes the actors' counts and
the evaluator's results, and gives the order to stop. They import grpc, and so are imported
by those who need them.
"""

from greenroom.variables.local import LocalVariables, load_into

__all__ = ["LocalVariables", "load_into"]
