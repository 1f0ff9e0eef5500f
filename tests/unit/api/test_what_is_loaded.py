"""What a process imports to serve: libraries that only the MCP endpoint, or traces, need wait until then."""

import subprocess
import sys
from pathlib import Path

LATE = ("mcp", "mcp_types", "pydantic", "jsonschema")

SCRIPT = """
import sys
from pathlib import Path
from api.app import create_app
from api.config import ApiConfig

create_app(ApiConfig(database_url="", run_dir=Path(sys.argv[1])))
print(*sys.modules)
"""


def test_the_sdk_of_mcp_is_not_loaded_before_it_is_needed(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "litestar" in loaded
    assert not loaded & set(LATE)
    # The client of Redis loads what it finds of metrics.
    assert not [name for name in done.stdout.split() if name.startswith("opentelemetry.exporter")]
