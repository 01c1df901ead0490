"""How much one has to read: files that a run walks through, and how long files are."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    *("criterions", "data_sets", "losses", "lr_schedules", "models", "testers", "trainers"),
    *("secateur", "utils", "benchmarks", "tools", "tests"),
)
#: Runs a command under a profiler, and writes the project's files of which a function was called.
WALK = """
import inspect, sys, threading
from secateur import cli

files = set()

def profile(frame, event, _):
    if event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a function's, not a module's or a class's
        files.add(frame.f_code.co_filename)

threading.setprofile(profile)
sys.setprofile(profile)
status = cli.main(sys.argv[1:])
sys.setprofile(None)
sys.stderr.write("\\n".join(sorted(files)))
sys.exit(status)
"""


def test_a_run_walks_through_sixty_files_at_most(tmp_path):
    words = ["--model", "ResNet18", "--prune_criterion", "SNIPit", "--smoke", "--results_dir", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", WALK, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    own = {path for path in done.stderr.splitlines() if path.startswith(f"{ROOT}/") and "/.venv/" not in path}
    assert 30 < len(own) <= 60, "\n".join(sorted(own))


def test_no_file_has_more_than_three_hundred_lines():
    files = [ROOT / "main.py", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > 300} == {}
