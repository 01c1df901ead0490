"""Run folders of which any value was replaced by any other, with checksums that fit, and what is made of them.

    altered_runs.py NUMBER [SEED]

is a program of its own: it tries so many of them and prints how many failed, with what each first kind of failure was.
tests/resuming/test_altered_folders.py tries a few.
"""

import contextlib
import io
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import secateur  # noqa: E402
from secateur import cli  # noqa: E402
from secateur.runs.checkpoint import write_tensors  # noqa: E402
from secateur.runs.files import SEAL, read_checksummed, write_checksummed  # noqa: E402
from secateur.trainers.DefaultTrainer import DefaultTrainer  # noqa: E402
from secateur.utils.errors import UserError  # noqa: E402
from tests.commands import QUICK  # noqa: E402

SMALL = f"--N 64 --batch_size 16 --save_minutes 0 --lr_schedule cosine --epochs 4 {QUICK}"
#: What the runs are; the tests use the first.
RUNS = (
    "--model LogisticRegression --outer_layer_pruning --prune_criterion GradualMagnitude --pruning_limit 0.8",
    "--model LeNet300 --outer_layer_pruning --prune_criterion IMP --snip_steps 2 --enable_rewinding --rewind_to 1",
    "--model MLP5 --hidden_dim 8 --prune_criterion SNAPitDuring --pruning_limit 0.5 --optimizer SGD --track_weights",
    "--model LeNet300 --l0 --precision bf16",
)
#: What may stand in a command.
WORDS = ("--list", "--grid", "--help", "--eval", "--resume", "x", "--seed=1,2", "--epochs", "-5", "--report", "a,b")
#: After so many steps they are interrupted.
STEPS = 9

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-5, 5)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["\x1b[2J", "../..", "a\0b", "cuda:7", "SNIP", "9" * 50, "/dev/zero"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


class Interrupted:
    """An interrupted run and a finished one of the same command, from which altered copies are made."""

    def __init__(self, place: Path, command: str) -> None:
        self.results = place / "results"
        train_batch, done = DefaultTrainer.train_batch, 0

        def interrupted(trainer, inputs, targets):
            nonlocal done
            done += 1
            if done > STEPS:
                raise KeyboardInterrupt
            train_batch(trainer, inputs, targets)

        words = [*command.split(), *SMALL.split(), "--results_dir", str(self.results)]
        DefaultTrainer.train_batch = interrupted
        try:
            assert called([*words, "--run_name", "stopped"])[0] == 130
        finally:
            DefaultTrainer.train_batch = train_batch
        assert called([*words, "--run_name", "finished"])[0] == 0
        (self.stopped,), (self.finished,) = (list(self.results.glob(f"*{name}")) for name in ("stopped", "finished"))

    def altered(self, draw, folder: Path, to: Path) -> None:
        """Make a copy of a run folder in which one value of one file is another."""
        shutil.copytree(folder, to, ignore=shutil.ignore_patterns("codebase", "progress", "*.png", "*.pdf"))
        for part in ("codebase", "progress"):
            (to / part).symlink_to(folder / part)
        if to.name.startswith("resume"):
            (to / "progress").unlink()
            (to / "progress").mkdir()
        files = sorted([*to.glob("output/*.json"), *to.glob("models/*.json"), *to.glob("state/*.json")])
        files += [*to.glob("state/*.safetensors")] * 3 + [to / "output" / "calling_command.txt"]
        path = draw(st.sampled_from(files))
        if path.suffix == ".json":
            write_checksummed(path, replaced(draw, read_checksummed(path)))
        elif path.suffix == ".txt":
            words = shlex.split(path.read_text().partition("\n")[0])
            at = draw(st.integers(2, len(words)))
            words[at : at + draw(st.integers(0, 1))] = [draw(st.sampled_from(WORDS) | st.text(max_size=5))]
            path.write_bytes(shlex.join(words).encode(errors="surrogatepass"))
        else:
            with safe_open(path, "pt") as file:
                tree = json.loads(file.metadata()["tree"])
            facts = read_checksummed(path.with_suffix(".json"))
            facts.pop("crc32")
            tree = json.dumps(replaced(draw, tree))
            write_tensors(path.with_suffix(""), load_file(path), facts, {"tree": tree})


def replaced(draw, content):
    """Put another value, or another of its own, in the place of one value; or leave it out, or rename it."""
    places = [*_places(content)]
    holder, key = draw(st.sampled_from(places))
    how = draw(st.sampled_from(["other", "other", "own", "out", "name"]))
    if how == "own":
        source, name = draw(st.sampled_from(places))
        holder[key] = json.loads(json.dumps(source[name]))
    elif how == "out":
        del holder[key]
    elif how == "name" and isinstance(holder, dict):
        holder[draw(st.text(max_size=4) | st.sampled_from(["step", "model", "train"]))] = holder.pop(key)
    else:
        holder[key] = draw(json_values)
    return {name: value for name, value in content.items() if name != SEAL}


def _places(value):
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def called(argv):
    """Call main.py here; returns its status and what it said to standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(argv)
    return status, err.getvalue()


def survives(runs: Interrupted, draw, place: Path) -> str:
    """Let a command read an altered run folder; returns what came of it.

    Fails unless it works or refuses in one line.
    """
    how = draw(st.sampled_from(["resume"] * 7 + ["eval", "eval", "load", "load", "report"]))
    folder = place / how
    runs.altered(draw, runs.stopped if how == "resume" else runs.finished, folder)
    if how == "load":
        with contextlib.suppress(UserError):
            secateur.load(folder)
            return "load works"
        return "load refuses"
    more = {
        "resume": ["--resume", str(folder)],
        "eval": ["--eval", "--checkpoint_name", str(folder), *QUICK.split()],
        "report": ["--report", str(folder)],
    }
    status, said = called([*more[how], "--results_dir", str(place / "results")])
    assert status in (0, 2), (status, said)
    lines = [line for line in said.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == (status == 2), said
    assert all(line.startswith("error: ") and line.isprintable() for line in lines), said
    return f"{how} {'refuses' if status else 'works'}"


def main(number: int, first: int) -> None:
    """Try `number` altered folders and print what failed."""
    tried, failed, reasons = Counter(), Counter(), {}
    torch.set_num_threads(1)

    def too_long(*_):
        raise TimeoutError("it hangs")

    signal.signal(signal.SIGALRM, too_long)
    with tempfile.TemporaryDirectory(prefix="altered_") as folder:
        place = Path(folder)
        runs = [Interrupted(place / str(which), command) for which, command in enumerate(RUNS)]

        @seed(first)
        @settings(max_examples=number, deadline=None, database=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(st.data())
        def attempt(data):
            chosen, drawn = data.draw(st.sampled_from(runs)), []

            def draw(strategy):
                drawn.append(data.draw(strategy))
                return drawn[-1]

            with tempfile.TemporaryDirectory(dir=place) as one:
                signal.alarm(600)
                try:
                    tried[survives(chosen, draw, Path(one))] += 1
                except (Exception, SystemExit) as error:
                    frame = [f for f in traceback.extract_tb(error.__traceback__) if str(ROOT) in f.filename][-1]
                    key = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
                    failed[key] += 1
                    tried["fails"] += 1
                    shown = [one for one in drawn if not isinstance(one, tuple)]
                    reasons.setdefault(key, f"{str(error)[:300]!r} of {shown!r}"[:900])
                finally:
                    signal.alarm(0)

        attempt()
    print(f"tried {sum(tried.values())} ({dict(tried)}), failed {sum(failed.values())}")  # noqa: T201
    for key, count in failed.most_common():
        print(f"{count}x {key}: {reasons[key]}")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
