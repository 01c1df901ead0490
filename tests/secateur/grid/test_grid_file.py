"""What the file of a grid holds, and how large and deep it may be."""

import pytest

from secateur.grid.grid_file import GridFile, Rule, read_grid_file, underscored
from secateur.utils.errors import UserError


@pytest.fixture
def read(tmp_path):
    """Read a text as the file of a grid; returns the file, or the line that refuses it, with FILE for its path."""

    def read(text):
        path = tmp_path / "grid.toml"
        path.write_text(text)
        try:
            return read_grid_file(path)
        except UserError as error:
            return str(error).replace(f"--grid {path}", "FILE")

    return read


def test_everything_in_a_file_is_read(read, tmp_path):
    text = """
    [common]
    --outer-layer-pruning = true
    input_dim = [[1, 8, 8], [3, 8, 8]]
    [[section]]
    seed = [1, 2]
    [[section]]
    l2-reg = 0.5
    [[exclude]]
    seed = 2
    [for.prune-criterion.mag]
    pre-epochs = 3
    [for.seed.2]
    epochs = 4
    """
    assert read(text) == GridFile(
        tmp_path / "grid.toml",
        {"outer_layer_pruning": True, "input_dim": [[1, 8, 8], [3, 8, 8]]},
        [{"seed": [1, 2]}, {"l2_reg": 0.5}],
        [{"seed": 2}],
        [Rule("prune_criterion", "mag", {"pre_epochs": 3}), Rule("seed", "2", {"epochs": 4})],
    )


def test_without_sections_there_is_one_that_adds_nothing(read, tmp_path):
    assert read("") == GridFile(tmp_path / "grid.toml", {}, [{}], [], [])
    one, other = GridFile(), GridFile()
    assert (one.path, one.common, one.sections, one.exclusions, one.rules) == (None, {}, [{}], [], [])
    for part in ("common", "sections", "exclusions", "rules"):
        assert getattr(one, part) is not getattr(other, part)


@pytest.mark.parametrize("value", ["1", "0.5", "'a'", "true", "[1]", "[[1], [2, 'a']]", "[1, [2]]"])
def test_a_value_is_text_a_number_a_switch_or_a_list_of_these(read, value):
    assert list(read(f"[common]\nseed = {value}").common) == ["seed"]


@pytest.mark.parametrize("value", ["[]", "[[]]", "[[[1]]]", "[1, 2020-01-01]", "12:00:00", "{a = 1}", "[{a = 1}]"])
def test_other_values_are_refused_by_their_place(read, value):
    must = "must be text, numbers, true or false, or a list of these"
    assert read(f"[common]\nl2-reg = 1\nseed = {value}") == f"FILE: common: seed {must}"
    assert read(f"[[section]]\nseed = 1\n[[section]]\nseed = {value}") == f"FILE: section 2: seed {must}"
    assert read(f"[[exclude]]\nseed = {value}") == f"FILE: exclude 1: seed {must}"
    assert read(f"[for.model.A-b]\nseed = {value}") == f"FILE: for.model.A-b: seed {must}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("common = 3", "FILE: common must hold flags, as in [for.prune_criterion.mag]"),
        ("for = 3", "FILE: for must hold flags, as in [for.prune_criterion.mag]"),
        ("[for]\nmodel = 3", "FILE: for.model must hold flags, as in [for.prune_criterion.mag]"),
        ("section = [3]", "FILE: section 1 must hold flags, as in [for.prune_criterion.mag]"),
        ("[exclude]\nseed = 3", "FILE: exclude is written [[exclude]], with two brackets: there can be several"),
        ("[sections]\nseed = 3", "FILE: a grid has no 'sections': did you mean section?; flags go below [common]"),
        ("a = 3", "FILE: a grid has no 'a': there is common, exclude, for, section; flags go below [common]"),
    ],
)
def test_what_holds_no_flags_is_refused_by_name(read, text, line):
    assert read(text) == line


def test_a_file_and_a_line_may_be_as_long_as_the_limit_and_no_longer(read):
    assert read("# " + "." * 200 + "\nfor = {}").rules == []
    assert read("\n# " + "." * 201) == "FILE: line 2 has more than 200 dots: break it up"
    assert read("#" * 1_000_000).common == {}
    assert read("#" * 1_000_001) == "FILE has 1,000,001 bytes, and the file of a grid 1,000,000 at most"


@pytest.mark.parametrize("name", ["--a-b_c", "a-b-c", "a_b_c"])
def test_a_flag_is_named_with_or_without_dashes(name):
    assert underscored(name) == "a_b_c"
