"""A run as a command of its own, started where a cluster has put it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import NoReturn

from secateur.cli import main
from secateur.config.places import CHECKOUT
from secateur.grid.outcome import Outcome


def run_command(argv: list[str], threads: int) -> Outcome:
    """Run the words of a command line with as many threads, and return how it ended.

    Where this process is interrupted, the run is asked to end, and has ended on return; so it is where it is killed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **python_path()}
    end, held = os.pipe()  # the system closes the held one with this process
    with tempfile.TemporaryFile() as output, os.fdopen(held, "wb"), os.fdopen(end, "rb"):
        command = [sys.executable, "-c", f"from {__name__} import run; run()", str(end), *argv]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, pass_fds=[end])
        try:
            process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        output.seek(0)
        return Outcome(process.returncode, output.read().decode(errors="replace"))


def run() -> NoReturn:
    """Be the run: the words are a pipe, whose end asks the run to end, and its command line."""
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    sys.exit(main(sys.argv[2:]))


def _end_with(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def python_path() -> dict[str, str]:
    """What lets another process import this Secateur: PYTHONPATH with the checkout; of an installation nothing."""
    path = [str(CHECKOUT)] if CHECKOUT else []
    return {"PYTHONPATH": os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])])} if path else {}
