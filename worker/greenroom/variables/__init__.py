"""Variables: the way of parameters back from learner to actors.

Within one process that is `LocalVariables`. Between processes it is
`greenroom.variables.service` in the learner, and `greenroom.variables.remote` and
`greenroom.variables.polling` in the others; the same service takes the actors' counts and
the evaluator's results, gives the order to stop, and keeps logs. They import grpc, and so
are imported by those who need them. Who ships logs alone needs no torch, and gets none.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenroom.variables.local import LocalVariables, load_into

__all__ = ["LocalVariables", "load_into"]


def __getattr__(name: str) -> Any:
    """Import torch only for those who name what needs it (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from greenroom.variables import local

    return getattr(local, name)
