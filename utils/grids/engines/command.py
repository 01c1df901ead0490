"""A run as a command of its own, started where a cluster has put it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from utils.grids.outcome import Outcome


def run_command(argv: list[str], root: Path, threads: int) -> Outcome:
    """Run main.py of the folder `root` with as many threads, and return how it ended.

    Where this process is interrupted, the run is asked to end, and has ended on return.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "main.py", *argv]
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        output.seek(0)
        return Outcome(process.returncode, output.read().decode(errors="replace"))
