"""Real Reverb servers for tests, all in one process beside pytest's.

Starting Python with TensorFlow takes seconds, starting a server in it milliseconds:
so one such process lives as long as the tests do.
"""

import atexit
import json
import select
import subprocess
import sys
from pathlib import Path

from greenroom.launch.ports import ReservedPorts
from greenroom.replay.descriptions import tables_to_json

PEER = Path(__file__).with_name("reverb_peer.py")
PORTS = ReservedPorts()
atexit.register(PORTS.__exit__)


class ReverbProcess:
    """A process of `reverb_peer.py`.

    process = ReverbProcess(folder)
    port = process.start([Table.queue("t", 8, signature)])
    process.stop(port)
    process.close()
    """

    def __init__(self, folder):
        with (folder / "log.txt").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, PEER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def request(self, name, timeout=60.0, **arguments):
        """Call a method of the peer, with arguments and a result that JSON knows."""
        process = self._process
        process.stdin.write(json.dumps([name, arguments]) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], timeout)
        line = process.stdout.readline() if ready else ""
        assert line, f"{name}: no answer in {timeout} s, exit status {process.poll()}"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def start(self, tables, port=None):
        """Start a server with these tables; return its port."""
        port = port or free_port()
        self.request("start", port=port, tables=tables_to_json(tables))
        return port

    def stop(self, port):
        self.request("stop", port=port)

    def send_signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process.stdout.close()


def free_port():
    """Return a port that nobody else takes while the tests run, whoever listens there or not."""
    return PORTS.take()
