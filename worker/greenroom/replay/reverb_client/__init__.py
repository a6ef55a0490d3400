"""A client of Reverb servers without TensorFlow: gRPC, protobuf, snappy and numpy.

`ReverbReplay` is the whole of it for its users.
"""

from greenroom.replay.reverb_client.replay import ReverbReplay

__all__ = ["ReverbReplay"]
