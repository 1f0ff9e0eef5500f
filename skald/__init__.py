"""What the wheel installs. The rooms stand in a folder of their own, so that they meet no other package of an environment.

`import skald` puts that folder first on the path: from then on `cli`, `store`, `domain` and the others are those of Skald.
"""

import sys
from pathlib import Path

HOME = Path(__file__).parent
# In a checkout the rooms stand beside this package.
ROOMS = HOME / "rooms" if (HOME / "rooms").is_dir() else HOME.parent

sys.path.insert(0, str(ROOMS))
