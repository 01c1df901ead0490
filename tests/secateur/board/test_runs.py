"""The runs that the board shows: rows, details, what is read again, and what is damaged."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.board import runs
from secateur.board.runs import LARGEST, Runs
from secateur.reports.collect import read_run
from tests.permissions import only

#: Holds the lock of a file until its input ends, as the process of a run does.
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held(path):
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        try:
            yield
        finally:
            other.stdin.close()


def test_a_row_is_what_the_report_knows_of_a_run(make_run_folder, ask, rows):
    for seed, limit in ((1, 0.9), (2, 0.9), (1, 0.95)):
        make_run_folder("SNIP", seed, 0.5, pruning_limit=limit, explicit=["pruning_limit", "seed"])
    listing = json.loads(ask("/api/runs")[2])
    assert [column for column in listing["options"] if column["shown"]] == [
        {"name": "pruning_limit", "shown": True}, {"name": "seed", "shown": True},
    ]  # fmt: skip
    row = rows()["SNIP_1_2"]
    assert row["status"] == "finished"
    assert (row["model"], row["data_set"], row["prune_criterion"]) == ("LeNet300", "DIGITS", "SNIP")
    assert row["options"] == {"pruning_limit": 0.95, "seed": 1}
    assert (row["epoch"], row["epochs"]) == (2, 2)
    assert row["figures"].items() >= {"accuracy": 50, "sparsity": 95, "testing_time": 0.5}.items()
    details = json.loads(ask("/api/run?run=SNIP_1_2")[2])
    assert details["curves"]["train_loss"] == [[1, 2], [2.0, 1.0]]
    assert details["layers"] == [["first", pytest.approx(0.05)], ["last", pytest.approx(0.05)]]
    assert details["typed"] == ["pruning_limit", "seed"]
    assert details["machine"]["code"] == "abc"
    assert details["command"] == "python3 main.py --seed 1"


def test_the_name_of_a_run_of_a_grid_is_taken_apart(make_run_folder, rows, tmp_path):
    grid = tmp_path / "results" / "grid_mine"
    grid.mkdir(parents=True, exist_ok=True)
    make_run_folder("SNIP", 1).rename(grid / "2026-11-30_19.00.00_SNIP_seed-1_24c9b8c8")
    ((name, row),) = rows().items()
    assert name == "grid_mine/2026-11-30_19.00.00_SNIP_seed-1_24c9b8c8"
    assert (row["group"], row["started"], row["name"]) == ("grid_mine", "2026-11-30 19:00:00", "SNIP_seed-1")


def test_a_run_is_followed_while_it_runs(make_run_folder, ask, rows):
    folder = make_run_folder("SNIP", 1)
    output = folder / "output"
    (output / "results.json").unlink()
    with held(output / "log.txt"):
        before = rows()[folder.name]
        assert (before["status"], before["epoch"], before["figures"]) == ("running", 2, {})
        assert before["reason"] == "2026-01-01 the run begins"
        with (output / "metrics.csv").open("a") as file:
            file.write("3,0.5,0.6\n4,0.2")  # the last row is being written
        after = rows()[folder.name]
        assert after["version"] != before["version"]
        assert json.loads(ask(f"/api/run?run={folder.name}")[2])["curves"] == {
            "epoch": [[1, 2, 3, 4], [1, 2, 3, 4]],
            "train_loss": [[1, 2, 3, 4], [2.0, 1.0, 0.5, 0.2]],
            "train_accuracy": [[1, 2, 3], [0.2, 0.4, 0.6]],
        }
    ended = rows()[folder.name]
    assert (ended["status"], ended["epoch"]) == ("interrupted", 4)
    assert ended["reason"] == "it ended without a word; last: 2026-01-01 the run begins"
    errors = {"KeyboardInterrupt": "interrupted", "SystemExit": "interrupted", "ValueError": "failed"}
    for error, status in errors.items():
        (output / "log.txt").write_text(f"x ended by {error}: 143\n")
        assert rows()[folder.name]["status"] == status


def test_figures_of_a_run_in_progress_are_the_last_that_were_measured(make_run_folder, rows):
    folder = make_run_folder("SNIP", 1)
    (folder / "output" / "results.json").unlink()
    (folder / "output" / "metrics.csv").write_text("epoch,test_accuracy,weight_sparsity\n1,0.25,0\n2,,0.5\n")
    assert rows()[folder.name]["figures"] == {"accuracy": 25, "sparsity": 50, "compression": 2}


def test_a_run_may_be_read_only(make_run_folder, tmp_path):
    folder = make_run_folder("SNIP", 1)
    (folder / "output" / "results.json").unlink()
    log = folder / "output" / "log.txt"
    with held(log), only(0o444, log):
        assert json.loads(Runs(tmp_path / "results").listing())["runs"][0]["status"] == "running"


def test_what_has_not_changed_is_not_read_again(make_run_folder, rows, monkeypatch):
    read = []

    def noted(folder, *rest, **more):
        read.append(folder)
        return read_run(folder, *rest, **more)

    monkeypatch.setattr(runs, "read_run", noted)
    folders = [make_run_folder("SNIP", seed) for seed in (1, 2, 3)]
    rows()
    rows()
    assert sorted(read) == folders
    (folders[1] / "output" / "metrics.csv").write_text("epoch,train_loss\n1,2.0\n")
    assert rows()[folders[1].name]["epoch"] == 1
    assert read[3:] == folders[1:2]
    folders[0].rename(folders[0].with_name("other"))
    assert [*rows()] == ["other", folders[2].name, folders[1].name]


def test_damage_is_a_line_of_its_run_and_the_others_are_shown(make_run_folder, rows, ask):
    make_run_folder("right", 1)
    damaged = {
        "half": ("results.json", "{"),
        "deep": ("results.json", "[" * 100_000),
        "nested": ("results.json", '{"a":' + "[" * 50 + "]" * 50 + "}"),
        "twice": ("arguments.json", '{"a": 1, "a": 2}'),
        "kinds": ("results.json", '{"test_accuracy": "high"}'),
        "bytes": ("metrics.csv", "\xff\n".encode("latin-1")),
        "long": ("metrics.csv", "epoch\n" + "1" * 200_000 + "\n"),
        "large": ("results.json", None),
        "log": ("log.txt", None),
        "queue": ("log.txt", os.mkfifo),
        "pipe": ("metrics.csv", os.mkfifo),
        "folder": ("arguments.json", Path.mkdir),
    }
    for name, (file, content) in damaged.items():
        path = make_run_folder(name, 1) / "output" / file
        path.unlink()
        if callable(content):
            content(path)
        elif content is None:
            with path.open("wb") as large:
                large.truncate(LARGEST + 1)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if file == "log.txt":
            (path.parent / "results.json").unlink()
    found = {name.partition("_")[0]: row for name, row in rows().items()}
    assert found.pop("right")["status"] == "finished"
    assert {name: row["status"] for name, row in found.items()} == dict.fromkeys(damaged, "damaged")
    assert all(row["reason"] for row in found.values())
    assert found["pipe"]["reason"] == "it is not a file"
    for row in found.values():
        assert json.loads(ask(f"/api/run?run={row['id']}")[2])["problem"]


def test_links_that_lead_out_are_not_followed(make_run_folder, ask, rows, tmp_path):
    secret = make_run_folder("SECRET", 1).rename(tmp_path / "outside")
    (secret / "models").mkdir()
    (secret / "models" / "SECRET_finished.safetensors").write_text("")
    for number, part in enumerate(("output/arguments.json", "output/metrics.csv", "output", "models")):
        path = make_run_folder("SNIP", number) / part
        path.rename(path.with_name("away")) if path.exists() else None
        path.symlink_to(secret / part)
        (tmp_path / "results" / f"link_{number}").symlink_to(secret)
    inside = make_run_folder("SNIP", 9)
    (inside / "output" / "calling_command.txt").unlink()
    (inside / "output" / "calling_command.txt").symlink_to("log.txt")
    found = rows()
    assert found.pop(inside.name)["status"] == "finished"
    assert [row["reason"] for row in found.values()] == [
        f"{part} is a link that leads out of the folder"
        for part in ("models", "output", "output/metrics.csv", "output/arguments.json")
    ]
    for name in found:
        assert b"SECRET" not in ask(f"/api/run?run={name}")[2]
        assert ask(f"/api/layers?run={name}")[0] == 404


def test_a_folder_that_may_not_be_listed_is_named(make_run_folder, tmp_path):
    make_run_folder("SNIP", 1)
    closed = tmp_path / "results" / "closed"
    closed.mkdir()
    with only(0o000, closed):
        listing = json.loads(Runs(tmp_path / "results").listing())
    assert listing["problems"] == [f"{closed}: Permission denied"]
    assert len(listing["runs"]) == 1


def test_an_empty_folder_and_one_that_is_not_there_yet_have_no_runs(tmp_path):
    assert json.loads(Runs(tmp_path / "nowhere").listing())["runs"] == []


def test_the_folder_may_be_that_of_one_run(make_run_folder):
    folder = make_run_folder("SNIP", 1)
    runs = Runs(folder)
    assert [row["id"] for row in json.loads(runs.listing())["runs"]] == [folder.name]
    assert runs.folder(folder.name) == folder


def test_long_curves_are_thinned_to_their_ends(make_run_folder, ask):
    folder = make_run_folder("SNIP", 1)
    epochs = range(1, 5001)
    table = "".join(f"{epoch},{epoch / 2},{1 if epoch % 100 == 0 else ''}\n" for epoch in epochs)
    (folder / "output" / "metrics.csv").write_text(f"epoch,train_loss,test_loss\n{table}")
    curves = json.loads(ask(f"/api/run?run={folder.name}")[2])["curves"]
    assert len(curves["train_loss"][0]) < 610
    assert [curves["train_loss"][0][0], curves["train_loss"][0][-1]] == [1, 5000]
    assert curves["test_loss"][0] == [*range(100, 5001, 100)]
