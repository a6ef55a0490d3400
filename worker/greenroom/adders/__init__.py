"""Adders: the steps of N environments go in, the items that replay keeps come out."""

from greenroom.adders.episode import EpisodeAdder
from greenroom.adders.n_step import NStepTransitionAdder
from greenroom.adders.sequence import EndOfEpisode, SequenceAdder

__all__ = ["EndOfEpisode", "EpisodeAdder", "NStepTransitionAdder", "SequenceAdder"]
