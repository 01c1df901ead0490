"""The number that says how the states of an interrupted run are laid out."""

import pytest
import torch

from secateur.runs.checkpoint import _decoded, read_last_state, write_state
from secateur.runs.checkpoint_metadata import FORMAT, STATE_FORMAT, other_format
from secateur.runs.files import write_checksummed
from secateur.utils.errors import UserError


@pytest.fixture
def write(tmp_path):
    """Write the json of state number `number`, with these contents."""

    def write(number, **content):
        write_checksummed(tmp_path / f"state_{number:06d}.json", content)
        return tmp_path

    return write


def test_states_have_a_format_of_their_own(tmp_path):
    write_state(tmp_path, {"epoch": 3})
    assert (STATE_FORMAT, FORMAT) == (2, 1)
    assert '"format": 2' in (tmp_path / "state_000001.json").read_text()
    assert other_format(tmp_path) is None
    assert read_last_state(tmp_path, "cpu") == ({"epoch": 3}, [])


@pytest.mark.parametrize("found", [1, 3, "two", True])
def test_the_format_of_another_version_is_found_and_not_read(write, found):
    folder = write(1, format=found, crc32="")
    assert other_format(folder) == found
    with pytest.raises(UserError, match=f"its format is {found!r}, and this version reads 2"):
        read_last_state(folder, "cpu")


def test_the_last_state_that_can_be_read_says_it(write):
    write(9, format=2)
    folder = write(10, format=1)
    assert other_format(folder) == 1
    (folder / "state_000010.json").write_text('{"format": 1')
    assert other_format(folder) is None
    write(9, format=1)
    assert other_format(folder) == 1


def test_where_no_state_says_it_there_is_no_other(write, tmp_path):
    assert other_format(tmp_path) is None
    assert other_format(tmp_path / "nowhere") is None
    assert other_format(write(1, epoch=3)) is None


def test_a_layout_that_a_tensor_cannot_have_is_not_taken():
    said = {"tensor": "0", "on_cpu": True, "channels_last": True}
    assert _decoded(said, {"0": torch.ones(3)}, torch.device("cpu")).equal(torch.ones(3))
