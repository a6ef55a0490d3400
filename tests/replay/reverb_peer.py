"""A process with the official Reverb in it: many servers, one after another, and its clients.

Run by `reverb_server.py`, never imported by a test: importing TensorFlow takes seconds.
A request is a line of JSON on standard input, an answer one on standard output; arrays
are handed over in files.
"""

import json
import sys
import traceback

import numpy as np
import reverb

from greenroom.replay.descriptions import tables_from_json
from greenroom.replay.server import ReplayServer


class Peer:
    """Holds servers by port; its public methods are what a request can name."""

    def __init__(self):
        self._servers = {}

    def start(self, port, tables):
        self._servers[port] = ReplayServer(tables_from_json(tables), port)

    def stop(self, port):
        self._servers.pop(port).stop()

    def import_ours_too(self):
        from reverb.cc import schema_pb2

        from greenroom.replay.reverb_client.messages import SampleInfo

        encoded = schema_pb2.SampleInfo(probability=0.5, table_size=3).SerializeToString()
        ours = SampleInfo.FromString(encoded)
        assert (ours.probability, ours.table_size) == (0.5, 3)
        return schema_pb2.SampleInfo.DESCRIPTOR.full_name

    def write_trajectories(self, port, table, steps, chunk_lengths, items):
        """Append steps and create items with the official TrajectoryWriter.

        Args:
            steps: file of columns "0", "1" ..., each [steps, ...].
            chunk_lengths: for each column.
            items: for each, its columns: [start, stop] in steps, or [step] if it is squeezed.
        """
        columns = load(steps)
        length = len(columns[0])
        client = reverb.Client(f"127.0.0.1:{port}")
        with client.trajectory_writer(num_keep_alive_refs=length) as writer:
            for index, chunk_length in enumerate(chunk_lengths):
                writer.configure(
                    (index,), num_keep_alive_refs=length, max_chunk_length=chunk_length
                )
            for step in range(length):
                writer.append(tuple(column[step] for column in columns))
            for item in items:
                # Lists of steps: a slice up to the last step is taken for an empty one.
                trajectory = tuple(
                    writer.history[index][list(range(*part)) if len(part) == 2 else part[0]]
                    for index, part in enumerate(item)
                )
                writer.create_item(table, 1.0, trajectory)
            writer.flush(timeout_ms=10_000)

    def write_timesteps(self, port, table, steps, chunk_length, delta_encoded, lengths):
        """Append steps with the official legacy Writer; each item is the last ``lengths`` of them.

        Args:
            lengths: for each step, of the item that is made after it; 0 if none is.
        """
        columns = load(steps)
        client = reverb.Client(f"127.0.0.1:{port}")
        with client.writer(
            len(columns[0]), chunk_length=chunk_length, delta_encoded=delta_encoded
        ) as writer:
            for step, length in enumerate(lengths):
                writer.append([column[step] for column in columns])
                if length:
                    writer.create_item(table, length, 1.0)

    def sample(self, port, table, count, path):
        """Sample with the official client, as a consumer of the table's signature does."""
        client = reverb.Client(f"127.0.0.1:{port}")
        samples = client.sample(table, count, emit_timesteps=False)
        arrays, facts = {}, []
        for index, sample in enumerate(samples):
            for column, array in enumerate(sample.data):
                arrays[f"{index}.{column}"] = array
            info = sample.info
            facts.append([str(info.key), info.probability, info.table_size, info.priority])
        np.savez(path, **arrays)
        return facts


def load(path):
    with np.load(path) as file:
        return [file[str(index)] for index in range(len(file.files))]


def main():
    peer = Peer()
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"result": getattr(peer, name)(**arguments)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
