"""Wrong input of every kind is one line that names the flag or the file, with status 2: no traceback, no folder."""

import contextlib
import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import main
from tests.commands import QUICK
from utils.arguments import Parser, parse
from utils.data.array_files import load_arrays
from utils.data.decoding import decode
from utils.data.torchvision_files import load_torchvision
from utils.errors import UserError
from utils.flags import add_flags
from utils.grids.read_grid import read_grid
from utils.hooks import plugin_manager
from utils.registry import Registry
from utils.run.checkpoint_facts import find_checkpoint
from utils.run.foreign import load_foreign

ROOT = Path(__file__).parent.parent
HOOKS, _ = plugin_manager()
REGISTRY = Registry(ROOT, HOOKS)


def cases(number):
    """As many examples, the same ones every time; a folder of the test serves them all."""
    return settings(
        max_examples=number,
        deadline=30_000,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def flags():
    parser = Parser()
    add_flags(parser)
    return sorted(flag for action in parser._actions for flag in action.option_strings)


HOSTILE = [
    *("", " ", "-", "--", "0", "-1", "1e999", "-1e-999", "nan", "inf", "-inf", "1_0", "0x10", "1e3", "٣", "½", "None"),
    *(
        "9" * 400,
        "-" + "9" * 30,
        "1" * 5000,
        "a" * 300,
        "a" * 5000,
        "True",
        "1,2",
        ",",
        "a,,b",
        "1/0",
        "1/",
        "2:4",
        "[1]",
        "{}",
    ),
    *(
        "..",
        "../../etc/passwd",
        "/dev/null",
        "/",
        "~",
        "a/b",
        "C:\\x",
        "a\0b",
        "\udcff",
        "🌳",
        "\u202e",
        "\x1b[31m",
        "\n",
    ),
    *("%s", "%(prog)s", "%", "$HOME", "'; drop", "@file", "torchvision:", "timm:x", ":", "torchvision:../x", "latest"),
    *("a.pth", "../a.pth", "a.safetensors", "SNIP", "LeNet300", "DIGITS", "1", "0.5", "help", "=", "steps:1x1e999"),
]
value = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8))
words = st.one_of(
    st.tuples(st.sampled_from(flags())),
    st.tuples(st.sampled_from(flags()), value),
    st.tuples(st.sampled_from(flags()), value, value),
    st.builds(lambda flag, text: (f"{flag}={text}",), st.sampled_from(flags()), value),
)
commands = st.lists(words, min_size=1, max_size=3).map(lambda groups: [word for group in groups for word in group])


def check_line(line, *named):
    """An error is one line of bounded length, which names one of these."""
    assert len(line.splitlines()) == 1, line
    assert len(line) < 2100
    assert any(name and name in line for name in named), (line, named)


def refused_or(read, *named):
    """Call a reader: it returns, or raises a `UserError` that names one of these; returns the result or None."""
    try:
        return read()
    except UserError as error:
        check_line(str(error), *named)
        return None


def names_of(command):
    """What an error of a command line may name: flags, what stands for one, and values as they are shown."""
    flags = [word.partition("=")[0] for word in command if word.startswith("-")]
    folded = ["--" + flag.lstrip("-").replace("-", "_") for flag in flags]
    values = [word.partition("=")[2] for word in command if word.startswith("--")]
    shown = [str(UserError(word)) for word in [*command, *values] if word]
    return [*flags, *folded, *shown, *(word[:50] for word in shown), *(repr(word) for word in command)]


@cases(600)
@given(commands)
def test_any_command_line_is_read_or_refused_in_a_line_that_names_the_flag(command):
    refused_or(lambda: parse(command, REGISTRY, HOOKS), *names_of(command))


@pytest.fixture
def without_runs(tmp_path, monkeypatch):
    """Let main.main come to the point where a run would begin, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("utils.run.execute.execute", lambda *_: None)
    monkeypatch.setattr("utils.run.train_first.train_first", lambda arguments, *_: (arguments, [], None))
    monkeypatch.setattr("utils.grids.run_grid.run_grid", lambda *_: 0)
    monkeypatch.setattr("utils.report.write.report", lambda *_: [])
    return tmp_path


@cases(100)
@given(commands)
def test_main_ends_by_status_2_and_one_line(without_runs, command):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main.main(command)
    assert status in (0, 2)
    if status == 2:
        assert out.getvalue() == ""
        line = err.getvalue()
        assert line.startswith("error: ")
        assert line.endswith("\n")
        check_line(line[:-1], *names_of(command))
    else:
        assert err.getvalue() == ""
    assert list(without_runs.iterdir()) == []


@st.composite
def damages(draw):
    """A function that damages bytes: cuts them, changes some, or takes others in their place."""
    kind = draw(st.sampled_from(["cut", "change", "replace", "insert"]))
    if kind == "replace":
        content = draw(st.binary(max_size=64))
        return lambda _: content
    share, noise = draw(st.floats(0, 1, exclude_max=True)), draw(st.binary(min_size=1, max_size=9))

    def damage(content):
        at = int(share * len(content))
        if kind == "cut":
            return content[:at]
        return content[:at] + noise + content[at + len(noise) * (kind == "change") :]

    return damage


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
FACTS = {
    "format": 1,
    "model": "LeNet300",
    "data_set": "DIGITS",
    "input_shape": [1, 8, 8],
    "num_classes": 10,
    "options": {},
    "prune_criterion": "SNIP",
    "loss": "CrossEntropy",
    "cuts": [[["features.1", [0, 1]]]],
    "seed": 333,
    "data_dir": "/nowhere",
    "data_options": {},
    "disable_autoconfig": False,
}


def checkpoint_of(folder, content):
    (folder / "run" / "models").mkdir(parents=True, exist_ok=True)
    path = folder / "run" / "models" / "LeNet300_finished.json"
    path.write_bytes(content)
    return path


@cases(120)
@given(st.sampled_from(sorted(FACTS)), json_values)
@example("data_dir", "a\0b")
@example("data_dir", "/" + "a" * 5000)
@example("model", "torchvision:../x")
def test_any_fact_of_a_checkpoint_is_read_or_refused(tmp_path, name, fact):
    checkpoint_of(tmp_path, json.dumps(FACTS | {name: fact}).encode())
    command = ["--eval", "--checkpoint_name", "run", "--results_dir", str(tmp_path)]
    refused_or(lambda: parse(command, REGISTRY, HOOKS), "LeNet300_finished", "--", str(fact))


@cases(60)
@given(damages())
@example(lambda _: b"[" * 100_000)
@example(lambda _: b"9" * 10_000)
def test_a_damaged_checkpoint_is_refused_by_its_path(tmp_path, damage):
    path = checkpoint_of(tmp_path, damage(json.dumps(FACTS).encode()))
    refused_or(lambda: find_checkpoint(tmp_path, "run", None), str(path)[: -len(".json")])


GRID = b"""
[common]
model = "LeNet300"
epochs = 1
[[section]]
prune_criterion = ["SNIP", "GRASP"]
[for.prune_criterion.SNIP]
snip_steps = 2
[[exclude]]
prune_criterion = "GRASP"
"""


@cases(120)
@given(damages())
@example(lambda _: b"[common]\ndata_dir = 'a\\u0000b'\nresults_dir = \"a\\u0000b\"\n")
@example(lambda _: b"[common]\nseed = [1, nan, inf, -1]\n")
@example(lambda _: b"[common]\nepochs = 1979-05-27\n")
@example(lambda _: b"common = 1\n")
@example(lambda _: b"a = " + b"[" * 5000)
def test_a_damaged_grid_is_read_or_refused_by_its_path(tmp_path, damage):
    path = tmp_path / "grid.toml"
    path.write_bytes(damage(GRID))
    refused_or(lambda: read_grid(["--grid", str(path)], REGISTRY, HOOKS), str(path))


def arrays():
    content = io.BytesIO()
    images, labels = np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2
    np.savez(content, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return content.getvalue()


@cases(120)
@given(damages())
def test_a_damaged_npz_is_read_or_refused_by_its_path(tmp_path, damage):
    path = tmp_path / "arrays.npz"
    path.write_bytes(damage(arrays()))
    refused_or(lambda: load_arrays(path, None), str(path))


def npz_of(**arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


@cases(60)
@given(
    st.sampled_from(["x_train", "y_train", "x_test", "y_test"]),
    st.sampled_from([np.uint8, np.int64, np.float64, np.complex64, np.str_, np.bool_, "datetime64[s]"]),
    st.lists(st.integers(0, 4), max_size=5),
)
def test_arrays_of_any_type_and_shape_are_read_or_refused(tmp_path, name, dtype, shape):
    images, labels = np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2
    content = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    path = tmp_path / "arrays.npz"
    path.write_bytes(npz_of(**content | {name: np.zeros(shape, dtype)}))
    refused_or(lambda: load_arrays(path, None), str(path))


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist_files(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(np.zeros((4, 28, 28), np.uint8)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(4, dtype=np.uint8)))


@cases(60)
@given(st.sampled_from(["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]), damages())
def test_a_damaged_idx_file_is_read_or_refused_by_its_path(tmp_path, name, damage):
    folder = tmp_path / "MNIST" / "raw"
    mnist_files(folder)
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    refused_or(lambda: load_torchvision("MNIST", tmp_path, folder), name)


def image(form):
    content = io.BytesIO()
    Image.effect_noise((16, 16), 50).convert("RGB").save(content, form)
    return content.getvalue()


@pytest.mark.filterwarnings("ignore:::PIL")  # it warns of what it then refuses
@cases(120)
@given(st.sampled_from(["png", "jpeg", "bmp", "gif", "tiff", "webp"]), damages())
def test_a_damaged_image_is_read_or_refused_by_its_path(tmp_path, form, damage):
    path = tmp_path / "image"
    path.write_bytes(damage(image(form)))
    refused_or(lambda: decode(str(path), (3, 8, 8)), str(path))


def weights(ending):
    state = torch.nn.Linear(3, 2).state_dict()
    if ending == ".safetensors":
        return safetensors.torch.save(state)
    content = io.BytesIO()
    torch.save(state, content, _use_new_zipfile_serialization=ending == ".pth")
    return content.getvalue()


@cases(150)
@given(st.sampled_from([".pth", ".pt", ".safetensors"]), damages())
def test_damaged_weights_are_read_or_refused_by_their_path(tmp_path, ending, damage):
    path = tmp_path / f"weights{ending}"
    path.write_bytes(damage(weights(ending)))
    refused_or(lambda: load_foreign(path, torch.nn.Linear(3, 2), partial=True), str(path))


def broken_images(folder):
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (folder / place).mkdir(parents=True)
        (folder / place / "1.png").write_bytes(image("png"))
    (folder / "test" / "b" / "2.png").write_bytes(image("png")[:60])
    return "--data_set IMAGEFOLDER", "2.png"


def broken_arrays(folder):
    (folder / "arrays.npz").write_bytes(arrays()[:-30])
    return "--data_set ARRAYS", "arrays.npz"


def broken_mnist(folder):
    mnist_files(folder / "MNIST" / "raw")
    (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    return "--data_set MNIST", "train-images-idx3-ubyte"


def broken_weights(folder):
    (folder / "w.pth").write_bytes(weights(".pth")[:-60])
    return f"--checkpoint_model {folder / 'w.pth'}", "w.pth"


def broken_grid(folder):
    (folder / "grid.toml").write_bytes(GRID[:-3])
    return f"--grid {folder / 'grid.toml'}", "grid.toml"


@pytest.mark.parametrize("make", [broken_images, broken_arrays, broken_mnist, broken_weights, broken_grid])
def test_a_damaged_file_is_one_line_and_leaves_no_run_folder(run, tmp_path, make):
    (tmp_path / "data").mkdir()
    command, name = make(tmp_path / "data")
    refused = run(f"--model LogisticRegression --epochs 1 --data_dir {tmp_path / 'data'} {command} {QUICK}")
    assert (refused.status, refused.folder, refused.err.count("\n")) == (2, None, 1)
    assert name in refused.err
    assert not (tmp_path / "results").exists()
