"""A file of other weights is found by its ending, in its folder alone, and unpacks to no more than it is."""

import random
import zipfile

import pytest

from secateur.runs.checkpoint_metadata import find_external
from secateur.runs.external_tensors import read_tensors
from secateur.utils.errors import UserError


def test_a_file_is_found_by_its_path_or_in_the_folder_that_is_named_and_cannot_leave_it(tmp_path, monkeypatch):
    results = tmp_path / "results"
    (results / "run" / "models").mkdir(parents=True)
    for place in (tmp_path, results / "run", results / "run" / "models"):
        (place / f"{place.name}.pth").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    here = f"{tmp_path.name}.pth"
    assert find_external(results, None, here) == find_external(results, None, str(tmp_path / here)) == tmp_path / here
    assert find_external(results, "run", "run.pth") == results / "run" / "run.pth"
    assert find_external(results, "run", "models.pth") == results / "run" / "models" / "models.pth"
    assert find_external(results, None, "LeNet300_finished") is find_external(results, "run", None) is None
    (results / "run" / "link.pth").symlink_to(tmp_path / here)
    for name in (f"../../{here}", str(tmp_path / here), "link.pth"):
        with pytest.raises(UserError, match="lies outside of"):
            find_external(results, "run", name)
    for run, name, message in (
        (None, "runn.pth", "there is not a file"),
        (None, "epoch=3.ckpt", "there is not a file"),
        ("run", "runn.pth", r"did you mean run.pth"),
        ("no", "run.pth", "there is no folder 'no'"),
        (None, "a" * 5000 + ".pth", "too long"),
        (None, "a\0.pth", "--checkpoint_model"),
        (None, f"{here},{here}", "one such file at a time"),
    ):
        with pytest.raises(UserError, match=message):
            find_external(results, run, name)


def test_an_archive_that_unpacks_to_a_little_more_than_it_is_is_refused(tmp_path):
    path = tmp_path / "packed.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2_000) + random.Random(0).randbytes(100_000))
    assert path.stat().st_size < 102_000 < 1.02 * path.stat().st_size
    with pytest.raises(UserError, match="would unpack to 102,000"):
        read_tensors(path)


def test_a_name_that_a_header_says_twice_is_refused(tmp_path):
    path = tmp_path / "twice.safetensors"
    tensor = b'"0.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    header = b"{" + tensor + b"," + tensor + b"}"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(UserError, match=r"cannot be read: ValueError: it says '0\.weight' twice"):
        read_tensors(path)
