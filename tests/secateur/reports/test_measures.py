"""What runs are compared by, of files written by hand."""

from secateur.reports.collect import collect
from secateur.reports.groups import group
from secateur.reports.measures import time_to
from secateur.reports.tables import all_groups, all_runs


def column(table, measure):
    """What a person reads."""
    place = table.columns.index(measure.label)
    return [row[place].text for row in table.rows]


def test_the_time_to_an_accuracy_is_that_of_the_first_epoch_that_has_it(make_run_folder, tmp_path):
    rows = {1: "1,0.5,10\n2,,20\n3,0.9,30\n4,0.95,40\n", 2: "1,0.93,14\n2,0.1,28\n", 3: "1,0.89,1\n2,,2\n"}
    for seed, text in rows.items():
        folder = make_run_folder("SNIP", seed)
        (folder / "output" / "metrics.csv").write_text(f"epoch,test_accuracy,seconds_training\n{text}")
    held_out = make_run_folder("GRASP", 1) / "output" / "metrics.csv"
    held_out.write_text("epoch,validation_accuracy,seconds_training\n1,0.9,7\n")
    runs, _ = collect([tmp_path])
    to = time_to(0.9)
    assert [to.of(run) for run in runs] == [7, 30, 14, None]
    assert column(all_groups(group(runs), [to]), to) == [
        "7.0 (1)",
        "22.0 ± 11.3 (2)",  # 8 sqrt(2)
    ]
    assert column(all_runs(runs, [to]), to) == ["7.0", "30.0", "14.0", ""]
    assert (to.label, time_to(0.995).label) == ("time to 90 % accuracy [s]", "time to 99.5 % accuracy [s]")
    assert not any(name.startswith("time to") for name in all_groups(group(runs), [time_to(0.99)]).columns)


def test_the_time_to_an_accuracy_is_asked_of_a_report(run, make_run_folder, tmp_path):
    make_run_folder("SNIP", 1)
    assert "is for --report" in run("--time_to_accuracy 0.9").err
    assert run(f"--report {tmp_path / 'results'} --time_to_accuracy 0").status == 2
