"""Datasets: batches for a learner, as tensors on its device."""

from greenroom.datasets.replay_dataset import ReplayDataset

__all__ = ["ReplayDataset"]
