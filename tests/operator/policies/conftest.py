"""The tests of the policies share the objects that those of the status are made with."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "status"))
