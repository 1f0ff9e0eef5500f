"""Fills `.venv` with what constraints.txt pins and with Skald itself, and says how far it is. `make install` runs it.

Nothing but the standard library is here yet. On a terminal one line moves; a log gets a line now and then.
"""

import os
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import List, Optional, TextIO

OLDEST = (3, 11)
FOLDER = Path(".venv")
CONSTRAINTS = Path("constraints.txt")
LOG_EVERY = 10.0  # seconds between two lines of a log
TICK = 0.5  # seconds between two looks at what pip has done while it prints nothing
SIZE = re.compile(r"\(([0-9.]+) ?(k|M|G)B\)")
MEGABYTES = {"k": 0.001, "M": 1.0, "G": 1000.0}


class Progress:
    """The line about the packages: how many of ``total`` are here, of what size, since when."""

    def __init__(self, total: int, out: TextIO = sys.stdout) -> None:
        self.total, self.out = total, out
        self.fetched, self.megabytes, self.installing = 0, 0.0, False
        self.began = time.monotonic()
        self.shown = self.began

    def take(self, line: str) -> None:
        """Note one line that pip has printed."""
        if line.startswith("Collecting "):
            self.fetched += 1
        elif line.lstrip().startswith(("Downloading ", "Using cached ")) and (size := SIZE.search(line)):
            self.megabytes += float(size[1]) * MEGABYTES[size[2]]
        elif line.startswith("Installing collected"):
            self.installing = True

    def line(self) -> str:
        if self.installing:
            done, what = len(list(FOLDER.glob("lib/*/site-packages/*.dist-info"))), "installed"
        else:
            done, what = self.fetched, "fetched"
        seconds = time.monotonic() - self.began
        return f"2/3 {min(done, self.total)} of {self.total} packages {what}, {self.megabytes:.0f} MB, {seconds:.0f} s"

    def show(self, *, last: bool = False) -> None:
        terminal = self.out.isatty()
        if not (terminal or last or time.monotonic() - self.shown >= LOG_EVERY):
            return
        self.shown = time.monotonic()
        text = f"\r\x1b[K{self.line()}" if terminal else self.line()
        print(text, end="" if terminal and not last else "\n", file=self.out, flush=True)


def run(command: List[str], progress: Optional[Progress] = None) -> None:
    """Run pip to its end; its errors go straight to standard error. Ends this program when pip fails."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}  # of the build tools, about themselves
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace", env=environment)
    assert process.stdout is not None
    output = process.stdout
    lines: "queue.Queue[Optional[str]]" = queue.Queue()

    def read() -> None:
        for line in output:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=TICK)
        except queue.Empty:
            line = ""
        if line is None:
            break
        if progress:
            progress.take(line)
            progress.show()
    if progress:
        progress.show(last=True)
    if code := process.wait():
        sys.exit(f"pip ended with code {code}: what is above says why; `make install` goes on from here")


def make_environment() -> List[str]:
    """The command that is pip for `.venv`.

    Debian's python3 has venv but not ensurepip, so the system's pip fills the environment; a Python that has no pip of its
    own brings ensurepip.
    """
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0
    without = ["--without-pip"] if has_pip else []
    made = subprocess.run([sys.executable, "-m", "venv", *without, str(FOLDER)])
    if made.returncode:
        sys.exit(f"{sys.executable} cannot make {FOLDER}; on Debian or Ubuntu: apt install python3-venv")
    inside = str(FOLDER / "bin" / "python")
    return [sys.executable, "-m", "pip", "--python", inside] if has_pip else [inside, "-m", "pip"]


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit(
            f"Skald needs Python {'.'.join(map(str, OLDEST))} or later, and {sys.executable} is "
            f"{sys.version.split()[0]}; name another by `make install PYTHON=python3.12`"
        )
    began = time.monotonic()
    total = len(re.findall(r"^[A-Za-z0-9].*==", CONSTRAINTS.read_text(), re.MULTILINE))
    print(f"Skald goes into {FOLDER}: {total} packages, pinned and checked by {CONSTRAINTS}", flush=True)
    install = [*make_environment(), "install", "--disable-pip-version-check", "--progress-bar=off"]
    print(f"1/3 {FOLDER} made with Python {sys.version.split()[0]}", flush=True)
    run([*install, "--require-hashes", "-r", str(CONSTRAINTS)], Progress(total))
    run([*install, "--no-deps", "--no-build-isolation", "-e", "."])
    print("3/3 the command skald", flush=True)
    print(f"Installed in {time.monotonic() - began:.0f} s. Start it: make run", flush=True)


if __name__ == "__main__":
    main()
