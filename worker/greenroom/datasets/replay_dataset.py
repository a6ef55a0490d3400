"""Batches sampled from replay, as tensors on the learner's device."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import optree
import torch

from greenroom.core import Batch, Sampler, Samples
from greenroom.errors import ReplayTimeout


class ReplayDataset:
    """An endless iterator of batches from one table, over any replay.

        dataset = ReplayDataset(replay.sampler("transitions"), "transitions", batch_size=64)
        for batch in dataset:
            learner.step(batch)

    With ``prefetch`` 0 each batch is sampled when it is asked for, in the caller's
    thread, which is what a reproducible run needs. Otherwise a thread keeps up to
    ``prefetch`` batches ready, copied to the device already: the rate limiter counts
    them as sampled, and prioritized ones were drawn with priorities that much older.

    Args:
        sampler: this consumer's own.
        table: the name of the sampler's table.
        batch_size: B, items in a batch.
        device: where the tensors go; to a GPU from pinned memory without waiting.
        prefetch: batches to hold ready.
        timeout: seconds that one ``next`` waits at most.
    """

    def __init__(
        self,
        sampler: Sampler,
        table: str,
        batch_size: int,
        *,
        device: torch.device | None = None,
        prefetch: int = 0,
        timeout: float = 60.0,
    ) -> None:
        self.table = table
        self.batch_size = batch_size
        self._sampler = sampler
        self._device = device or torch.device("cpu")
        self._timeout = timeout
        self._prefetcher = _Prefetcher(self._sample, prefetch) if prefetch else None

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Return the next batch.

        Raises:
            ReplayTimeout: none came within the timeout; calling again goes on waiting.
            ReplayClosed: replay was closed.
        """
        if self._prefetcher is None:
            return self._sample()
        return self._prefetcher.get(self._timeout)

    def close(self) -> None:
        """Stop prefetching, after the wait under way at the latest."""
        if self._prefetcher is not None:
            self._prefetcher.close()

    def _sample(self) -> Batch:
        return to_batch(self._sampler.sample(self.batch_size, self._timeout), self._device)


def to_batch(samples: Samples, device: torch.device) -> Batch:
    """Return samples as tensors on ``device``."""
    on_gpu = device.type == "cuda"

    def tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
        value = torch.from_numpy(array)
        return value.pin_memory().to(device, non_blocking=True) if on_gpu else value

    return Batch(
        data=optree.tree_map(tensor, samples.data),
        keys=samples.keys,
        probabilities=tensor(samples.probabilities.astype(np.float32)),
        table_size=tensor(samples.table_size.astype(np.float32)),
    )


class _Prefetcher:
    """A thread that fills a bounded queue; an error in it is raised at the consumer."""

    def __init__(self, sample: Callable[[], Batch], depth: int) -> None:
        self._sample = sample
        self._queue: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=depth)
        self._held_back: ReplayTimeout | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
        self._thread.start()

    def get(self, timeout: float) -> Batch:
        try:
            item = self._queue.get(timeout=timeout)
        except queue.Empty:
            # As replay says it: a limiter that holds back is another thing than no server.
            raise self._held_back or ReplayTimeout(
                f"A batch must come within {timeout:g} s. Got: none yet."
            ) from None
        if isinstance(item, BaseException):
            self._queue.put(item)  # the thread has ended: whoever asks again is told again
            raise item
        return item

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                item: Batch | BaseException = self._sample()
                self._held_back = None
            except ReplayTimeout as held_back:
                self._held_back = held_back  # the consumer has its own deadline
                continue
            except Exception as error:
                item = error
            self._put(item)
            if isinstance(item, BaseException):
                return

    def _put(self, item: Batch | BaseException) -> None:
        while not self._closed.is_set():
            try:
                return self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
