"""What the tests of one folder share with others: their helper modules can be imported anywhere."""

import sys
from pathlib import Path

for folder in ("launch", "replay", "roles", "variables"):
    sys.path.append(str(Path(__file__).with_name(folder)))
