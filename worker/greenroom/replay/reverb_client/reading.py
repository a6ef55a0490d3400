"""What a stream of samples holds, read into batches."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from greenroom.errors import ReplayDataError
from greenroom.replay.reverb_client import messages
from greenroom.replay.reverb_client.batches import Batch, FixedLeaf
from greenroom.replay.reverb_client.decoding import Chunks, read_columns
from greenroom.replay.reverb_client.layout import ItemLayout
from greenroom.replay.reverb_client.tensors import decompress_into, parse
from greenroom.replay.reverb_client.wire import KEY_BYTES, VARINT, decode_keys, read_varint
from greenroom.replay.signature import Signature, in_words
from greenroom.replay.tables import Table
from greenroom.specs import Array

_ENTRY: Final = re.compile(rb"\x0a(%b)" % VARINT)
_END_OF_SAMPLE: Final = b"\x18\x01"
_ABSENT: Final = bytes(8)  # zero, as a varint and as a double


class BrokenStreamError(ReplayDataError):
    """What comes next in a stream cannot be made out: the stream is of no more use."""


class SampleReader:
    """Unpacks the samples of one table into a batch.

        reader.expected += 256          # asked for
        reader.batch.reserve(256)
        reader.feed(response)
        reader.read(limit=256)

    Items that this client wrote are recognised by a pattern; all others are parsed.

    Attributes:
        batch: what has been read.
        expected: how many samples may still come.
        held_back: how many samples that were read had been held back by the limiter.
    """

    def __init__(self, table: Table, signature: Signature) -> None:
        self.batch = Batch(signature)
        self.expected = 0
        self.held_back = 0
        self._table = table.name
        self._signature = signature
        self._response = b""
        self._at = 0
        self._info: Any = None  # of a sample whose end has not come
        self._chunks: dict[int, Any] = {}
        self._ours: _OurItems | None = None
        if not any(spec.varies for spec in signature.specs):
            self._ours = _OurItems(self.batch, ItemLayout(table.name, signature.specs))

    @property
    def hungry(self) -> bool:
        """Whether all that was fed has been read."""
        return self._at >= len(self._response)

    def feed(self, response: bytes) -> None:
        """Take the next response of a stream; what was fed before must have been read."""
        self._response, self._at = response, 0

    def interrupt(self) -> None:
        """Expect nothing more: the stream has ended."""
        self.expected, self._info = 0, None

    def read(self, limit: int) -> None:
        """Read what was fed until the batch has ``limit`` samples.

        Raises:
            ReplayDataError: an item cannot be read, or is not one of this table's signature;
                it is left out, and reading can go on behind it.
            BrokenStreamError: and it cannot.
        """
        batch = self.batch
        while batch.count < limit and not self.hungry:
            before = batch.count
            if self._ours and self._info is None:
                self._at = self._ours.read(self._response, self._at, limit)
                self.held_back += self._ours.held_back
            if batch.count == before:
                self._read_entry()
            else:
                self.expected -= batch.count - before

    def _read_entry(self) -> None:
        try:
            start, end = _bounds(self._response, self._at)
            entry = parse(messages.SampleEntry, self._response[start:end])
            self._at = end
            if entry.HasField("info") == (self._info is not None):
                raise ReplayDataError("A sample must begin where the one before has ended.")
        except ReplayDataError as error:
            self._at = len(self._response)
            raise BrokenStreamError(f"Table {self._table!r}: {error}") from None
        if self._info is None:
            self._info, self._chunks = entry.info, {}
        for chunk in entry.data:
            self._chunks[chunk.chunk_key] = chunk
        if entry.end_of_sequence:
            info, self._info = self._info, None
            self.expected -= 1
            self.held_back += info.rate_limited
            self._add(info, self._chunks)

    def _add(self, info: Any, chunks: Chunks) -> None:
        item, batch = info.item, self.batch
        try:
            columns = read_columns(item.flat_trajectory, chunks)
            self._put(batch.count, columns)
        except ReplayDataError as error:
            raise ReplayDataError(f"Table {self._table!r}, item {item.key}: {error}") from None
        batch.facts.rows[batch.count] = (
            item.key,
            info.probability,
            item.priority,
            item.times_sampled,
            info.table_size,
        )
        batch.count += 1

    def _put(self, row: int, columns: list[Array]) -> None:
        paths, specs = self._signature.paths, self._signature.specs
        if len(columns) != len(paths):
            raise ReplayDataError(
                f"An item must have {len(paths)} columns, {', '.join(paths)}. Got: {len(columns)}."
            )
        for path, spec, leaf, column in zip(paths, specs, self.batch.leaves, columns, strict=True):
            if not leaf.put(row, column):
                raise ReplayDataError(
                    f"{path} must be {in_words(spec.dtype, spec.shape)}. "
                    f"Got: {in_words(column.dtype, column.shape)}."
                )


class _OurItems:
    """Reads items of the layout that this client writes, many at once.

    The lengths of the messages inside an entry follow from the layout, and are not looked at.

    Attributes:
        held_back: how many of those last read had been held back by the limiter.
    """

    def __init__(self, batch: Batch, layout: ItemLayout) -> None:
        leaves = [leaf for leaf in batch.leaves if isinstance(leaf, FixedLeaf)]
        self.held_back = 0
        self._batch = batch
        self._pattern = layout.entry_pattern()
        self._stored = [leaves[index] for index in layout.stored]
        self._compressed = [
            (leaves[index], layout.tensor_pattern(index)) for index in layout.compressed
        ]
        self._end = layout.chunk_end() + _END_OF_SAMPLE

    def read(self, response: bytes, at: int, limit: int) -> int:
        """Read up to ``limit`` samples in all, as long as there are such items.

        Returns:
            Where the first entry begins that was not read.
        """
        entries: list[tuple[bytes, ...]] = []
        first = self._batch.count
        for row in range(first, limit):
            match = self._pattern.match(response, at)
            if match is None:
                break
            end = self._decompress(response, match.end(), row)
            if not response.startswith(self._end, end):
                break
            end += len(self._end)
            if end - match.end(1) != read_varint(match[1]):
                break
            at = end
            entries.append(match.groups(_ABSENT))
        self.held_back = 0
        if entries:
            self._store(first, entries)
        return at

    def _decompress(self, response: bytes, at: int, row: int) -> int:
        """Unpack the compressed leaves; return where they end, or -1 if they are to be parsed."""
        for leaf, pattern in self._compressed:
            match = pattern.match(response, at)
            if match is None:
                return -1
            at = match.end() + read_varint(match[1])
            try:
                decompress_into(memoryview(response)[match.end() : at], leaf.rows[row : row + 1])
            except ReplayDataError:
                return -1  # parsing it says which item it is
        return at

    def _store(self, first: int, entries: list[tuple[bytes, ...]]) -> None:
        columns = zip(*entries, strict=True)
        _, keys, priorities, times_sampled, probabilities, table_sizes, held_back, *stored = columns
        count = len(entries)
        rows = slice(first, first + count)
        varints = np.frombuffer(b"".join(keys), np.uint8).reshape(count, KEY_BYTES)
        facts = self._batch.facts.rows[rows]
        facts["key"] = decode_keys(varints)
        facts["priority"] = np.frombuffer(b"".join(priorities), np.float64)
        facts["probability"] = np.frombuffer(b"".join(probabilities), np.float64)
        facts["times_sampled"] = [read_varint(number) for number in times_sampled]
        facts["table_size"] = [read_varint(number) for number in table_sizes]
        for leaf, values in zip(self._stored, stored, strict=True):
            if leaf.rows[:1].size:
                flat = np.frombuffer(b"".join(values), leaf.rows.dtype)
                leaf.rows[rows] = flat.reshape(count, *leaf.rows.shape[1:])
        self.held_back = count - held_back.count(_ABSENT)
        self._batch.count += count


def _bounds(response: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the entry that begins ``at`` begins and ends."""
    match = _ENTRY.match(response, at)
    end = match.end() + read_varint(match[1]) if match else len(response) + 1
    if match is None or end > len(response):
        raise ReplayDataError(
            f"A response must consist of whole entries. Got: {response[at : at + 16]!r} at byte "
            f"{at} of {len(response)}."
        )
    return match.end(), end
