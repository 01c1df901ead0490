"""A run as a command of its own, started where a cluster has put it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from secateur.config.places import CHECKOUT
from secateur.grid.outcome import Outcome


def run_command(argv: list[str], threads: int) -> Outcome:
    """Run the words of a command line with as many threads, and return how it ended.

    Where this process is interrupted, the run is asked to end, and has ended on return.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **python_path()}
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "-m", "secateur", *argv]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        output.seek(0)
        return Outcome(process.returncode, output.read().decode(errors="replace"))


def python_path() -> dict[str, str]:
    """What lets another process import this Secateur: PYTHONPATH with the checkout; of an installation nothing."""
    path = [str(CHECKOUT)] if CHECKOUT else []
    return {"PYTHONPATH": os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])])} if path else {}
