"""The archive of the arena's runs: the same bytes each time, what a report reads, nothing of the machine."""

from benchmarks.arena_archive import pack, unpack
from secateur.reports.collect import collect
from secateur.runs.files import write_checksummed


def make_run(grid, name, accuracy):
    output = grid / name / "output"
    output.mkdir(parents=True)
    settings = {"model": "LeNet5", "data_set": "MNIST", "data_dir": "/somewhere/data", "results_dir": str(grid)}
    write_checksummed(output / "arguments.json", settings | {"prune_criterion": "SNIP", "seed": 1})
    write_checksummed(output / "environment.json", {"host": "mine", "device": "cpu"})
    (output / "metrics.csv").write_text("epoch,test_accuracy\n1,0.5\n")
    (output / "calling_command.txt").write_text("python3 main.py --data_dir /somewhere/data\n# called in /somewhere\n")
    if accuracy is not None:
        write_checksummed(output / "results.json", {"test_accuracy": accuracy})
        (grid / name / "models").mkdir()
        found = {"input_shape": [1, 28, 28], "num_classes": 10, "data_dir": "/somewhere/data"}
        write_checksummed(grid / name / "models" / "LeNet5_finished.json", found)


def test_a_report_reads_the_same_of_what_was_packed_twice(tmp_path):
    results = tmp_path / "results"
    for number, accuracy in enumerate((0.75, None, 0.5)):
        make_run(results / "grid_arena_small", f"run_{number}", accuracy)
    make_run(results / "grid_other", "run_3", 0.25)
    first, second = tmp_path / "first.tar.xz", tmp_path / "second.tar.xz"
    assert (pack(results, first), pack(results, second)) == (2, 2)
    assert first.read_bytes() == second.read_bytes()
    unpack(tmp_path / "out", first)
    runs, problems = collect([tmp_path / "out"])
    assert problems == []
    assert [run.accuracy for run in runs] == [0.75, 0.5]
    assert runs[0].settings["data_dir"] == "gitignored/data"
    assert runs[0].settings["results_dir"] == "gitignored/results/grid_arena_small"
    assert runs[0].command == "python3 main.py --data_dir gitignored/data"
    assert runs[0].environment == {"device": "cpu"}
    assert (runs[0].classes, runs[0].epochs) == (10, [{"epoch": 1.0, "test_accuracy": 0.5}])
