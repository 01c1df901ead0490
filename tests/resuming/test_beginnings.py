"""What decides numbers and is not what a run began with: one line that names it, and on only with --resume_anyway."""

import numpy as np
import pytest
import torch
from PIL import Image

from secateur.runs.differences import COMPARED
from secateur.runs.files import read_checksummed, write_checksummed
from tests.commands import results
from tests.resuming.interruptions import SHORT, SMALL, stop_at


def edit(path, before, after):
    """Replace a text that is there."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def assert_refused(run, folder, *named):
    """It is one line, after which the folder is as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    refused = run(f"--resume {folder.name}")
    assert (refused.status, refused.err.count("\n")) == (2, 1), refused.err
    for text in (*named, "--resume_anyway continues", str(folder)):
        assert text in refused.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def assert_goes_on(run, folder, *named):
    """With the flag it does, and the results say what was other."""
    resumed = run(f"--resume {folder.name} --resume_anyway")
    assert resumed.status == 0, resumed.err
    notices = results(folder)["notices"]
    for text in named:
        (notice,) = [one for one in notices if text in one]
        assert "the numbers may differ from an uninterrupted run's" in notice


def test_code_that_was_edited_without_a_commit(run, stopped):
    folder = stopped()
    edit(folder / "codebase" / "losses" / "CrossEntropy.py", "return ", "return 2 * ")
    line = "losses/CrossEntropy.py is not what it was when the run began, from line"
    assert_refused(run, folder, line)
    edit(folder / "codebase" / "secateur" / "training" / "means.py", "0.0", "0.1")
    (folder / "codebase" / "utils" / "gone.py").write_text("")
    assert_refused(run, folder, line, "(and 2 more differences)")
    assert_goes_on(run, folder, line, "means.py is not", "utils/gone.py, which the run began with, no longer")


def test_the_same_code_under_another_commit_other_comments_and_components_of_other_runs_are_no_difference(run, stopped):
    folder = stopped()
    path = folder / "output" / "environment.json"
    write_checksummed(path, {**read_checksummed(path), "git_commit": "89abcde", "git_changes": True})
    edit(folder / "codebase" / "secateur" / "training" / "means.py", "\n", "\n# another comment\n\n")
    (folder / "codebase" / "criterions" / "NotImported.py").write_text("x = 1\n")
    resumed = run(f"--resume {folder.name}")
    assert resumed.status == 0, resumed.err
    assert results(folder)["notices"] == []


@pytest.mark.parametrize("name", COMPARED)
def test_versions_device_threads_and_what_else_rounds_numbers(run, stopped, name):
    folder = stopped(SHORT)
    path = folder / "output" / "environment.json"
    facts = read_checksummed(path)
    if isinstance(facts[name], dict):
        part = next(iter(facts[name]), "other")
        facts[name] = {**facts[name], part: "\x1b[2Jother"}
        named = f"{part.replace('_', ' ') if name != 'plugin_code' else part} "
    else:
        facts[name] = "\x1b[2Jother"
        named = f"{name.replace('_', ' ')} "
    write_checksummed(path, facts)
    assert_refused(run, folder, f'{named}"\\u001b[2Jother" and would continue with')


def test_the_number_of_threads(run, stopped):
    folder = stopped()
    torch.set_num_threads(2)
    try:
        assert_refused(run, folder, "the run began with threads 1 (OMP_NUM_THREADS=1) and would continue with 2")
        assert_goes_on(run, folder, "threads 1 (OMP_NUM_THREADS=1) and would continue with 2")
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("content", ["[]", "", "{}", None])
def test_what_it_began_with_may_be_unreadable(run, stopped, content):
    folder = stopped()
    path = folder / "output" / "environment.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert_refused(run, folder, "it is not known what the" if content == "{}" else "what the run began with cannot be")


def test_a_snapshot_that_is_gone(run, stopped):
    folder = stopped()
    for path in folder.glob("codebase/**/*.py"):
        path.unlink()
    assert_refused(run, folder, "the code that the run began with is not in")


@pytest.fixture
def images(tmp_path):
    """A folder of images of two classes, 16 and 4 of each."""
    for part, number in (("train", 16), ("test", 4)):
        for label, name in enumerate(("a", "b")):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for count in range(number):
                pixels = np.full((8, 8, 3), 100 * label + count, np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / part / name / f"{count}.png")
    return tmp_path / "data"


def swap(folder):
    (folder / "train" / "a").rename(folder / "train" / "c")
    (folder / "train" / "b").rename(folder / "train" / "a")
    (folder / "train" / "c").rename(folder / "train" / "b")


def delete(folder):
    (folder / "train" / "a" / "3.png").unlink()


def replace(folder):
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(folder / "test" / "a" / "1.png")


def relabel(folder):
    (folder / "train" / "a" / "3.png").rename(folder / "train" / "b" / "x.png")
    (folder / "train" / "b" / "2.png").rename(folder / "train" / "a" / "x.png")
    (folder / "train" / "a" / "4.png").rename(folder / "train" / "b" / "y.png")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (swap, "the training images are not what they were when the run began"),
        (delete, "the run began with 32 training images, but now there are 31"),
        (replace, "the test images are not what they were when the run began"),
        (relabel, "the labels of the training images are not what they were when the run began"),
    ],
)
def test_the_data(run, monkeypatch, images, change, line, streamed):
    if streamed:
        monkeypatch.setattr("secateur.data.image_files.free_memory", lambda device: 0)
    command = f"--model LogisticRegression --data_set IMAGEFOLDER --data_dir {images} --epochs 3 --batch_size 8"
    go_on = stop_at(monkeypatch, 5)
    folder = run(f"{command} {SMALL.replace('--N 64 --batch_size 16', '')}").folder
    go_on()
    change(images)
    assert_refused(run, folder, line)
    if change is delete and not streamed:
        assert_goes_on(run, folder, line)


def test_images_in_memory_and_in_their_files_are_the_same_data(run, monkeypatch, images):
    command = f"--model LogisticRegression --data_set IMAGEFOLDER --data_dir {images} --epochs 3 --batch_size 8"
    go_on = stop_at(monkeypatch, 5)
    folder = run(f"{command} {SMALL.replace('--N 64 --batch_size 16', '')}").folder
    go_on()
    monkeypatch.setattr("secateur.data.image_files.free_memory", lambda device: 0)
    moved = images.rename(images.with_name("moved"))
    resumed = run(f"--resume {folder.name} --data_dir {moved}")
    assert resumed.status == 0, resumed.err
    assert results(folder)["notices"] == []


OWN = """
from secateur.losses.CrossEntropy import CrossEntropy

class Halved(CrossEntropy):
    def __call__(self, logits, targets):
        return 0.5 * super().__call__(logits, targets)
"""


def test_a_component_of_ones_own(run, stopped, tmp_path):
    (tmp_path / "own" / "losses").mkdir(parents=True)
    path = tmp_path / "own" / "losses" / "Halved.py"
    path.write_text(OWN)
    folder = stopped(f"{SHORT} --components {tmp_path / 'own'} --loss Halved")
    assert folder is not None
    path.write_text(OWN.replace("0.5", "0.75"))
    assert_refused(run, folder, "losses/Halved.py is not what it was when the run began, from line 6 on")


@pytest.mark.parametrize(
    ("flags", "what"),
    [("--checkpoint_name", "checkpoint"), ("--loss Distillation --teacher", "the network of --teacher")],
)
def test_the_networks_that_training_starts_from_and_learns_from(run, stopped, flags, what):
    first = run(f"--model LogisticRegression --epochs 1 --N 64 {SMALL}").folder
    folder = stopped(f"{SHORT} {flags} {first.name}")
    path = first / "models" / "LogisticRegression_finished.json"
    other = run(f"--model LogisticRegression --epochs 1 --seed 1 --N 64 {SMALL}").folder
    for ending in (".json", ".safetensors"):
        path.with_suffix(ending).write_bytes((other / "models" / path.name).with_suffix(ending).read_bytes())
    assert_refused(run, folder, f"the run began with {what} ")


def test_the_flag_is_for_runs_that_go_on(run):
    refused = run(f"{SHORT} --resume_anyway")
    assert (refused.status, refused.folder) == (2, None)
    assert "--resume_anyway needs --resume RUN" in refused.err
