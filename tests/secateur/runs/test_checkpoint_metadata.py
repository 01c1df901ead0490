"""How checkpoints are called where several are compared."""

from pathlib import Path

import pytest

from secateur.runs.checkpoint_metadata import Checkpoint, labels, number_of


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["2026-11-21_03.41.44_a/models/x", "2026-11-21_03.41.44_b/models/x"], ["a", "b"]),
        (["2026-11-21_03.41.44/models/x", "elsewhere/models/x"], ["2026-11-21_03.41.44", "elsewhere"]),
        (
            ["2026-11-21_03.41.44_a/models/x", "2026-11-21_03.41.45_a/models/x"],
            ["2026-11-21_03.41.44_a", "2026-11-21_03.41.45_a"],
        ),
        (["r/models/x", "r/models/y"], ["r/x", "r/y"]),
        (
            [
                f"2026-11-21_03.41.44_net_{way}_pruning_limit-0.9_seed-1_{key}/models/x"
                for way, key in (("SNIP", "01234567"), ("GRASP_late", "89abcdef"))
            ],
            ["SNIP", "GRASP_late"],
        ),
        (
            ["2026-11-21_03.41.44_a_01234567/models/x", "2026-11-21_03.41.44_a_89abcdef/models/x"],
            ["a_01234567", "a_89abcdef"],
        ),
        (["a/models/x", "a_b/models/x"], ["a", "a_b"]),
        (["2026-11-21_03.41.44_a/models/x", "2026-11-21_03.41.44_a/models/y"], ["a/x", "a/y"]),
        (["r/models/x", "r/models/x"], ["r/x 1", "r/x 2"]),
    ],
)
def test_labels_are_as_short_as_they_tell_checkpoints_apart(paths, names):
    assert labels([Checkpoint(Path(path), {}) for path in paths]) == names


@pytest.mark.parametrize(("name", "number"), [("state_000012", 12), ("state_0", 0), ("state_copy", 0), ("notes", 0)])
def test_states_are_counted_by_their_names(name, number):
    assert number_of(Path("state") / name) == number
