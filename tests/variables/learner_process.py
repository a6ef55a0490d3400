"""A learner's service in a process of its own, to be killed: PORT FOLDER VERSION.

Prints its port when it listens, and ends when its standard input does.
"""

import sys
from pathlib import Path

import torch
from learner_tools import TOKEN

from greenroom.variables.journal import CountsJournal
from greenroom.variables.service import LearnerService


def main() -> None:
    port, folder, version = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    journal = CountsJournal(folder / "counts.jsonl")
    service = LearnerService(
        "127.0.0.1", port, TOKEN, journal, unroll_steps=20, environment_steps=None
    )
    service.publish(version, {"version": torch.tensor(version)})
    print(service.port, flush=True)
    sys.stdin.read()
    service.close()
    journal.close()


if __name__ == "__main__":
    main()
