"""Exported networks compute the same, for any number of images; what cannot be exported is told."""

import importlib.util

import pytest
import torch

from secateur.runs import export as exporting
from secateur.runs.export import check_packages
from secateur.utils.errors import UserError
from tests.commands import QUICK

SMALL = f"--data_set DIGITS --N 32 --batch_size 16 --epochs 0 {QUICK}"


@pytest.fixture
def run(run):
    """Call main.main; returns the run folder's output/, the results and what was said, or the status and the error."""

    def start(command):
        outcome = run(command)
        if outcome.status:
            return outcome.status, outcome.err
        return outcome.folder / "output", outcome.results, outcome.out

    return start


@pytest.mark.filterwarnings("ignore")
def test_torch_export_writes_a_cut_network_for_any_number_of_images(run):
    command = f"--model LeNet5 --prune_criterion SNAP --pruning_limit 0.8 --export torch_export {SMALL}"
    output, results, _ = run(command)
    assert results["exported"] == {"torch_export": "LeNet5.pt2"}
    assert results["notices"] == []
    program = torch.export.load(output / "LeNet5.pt2").module()
    for number in (1, 2, 7):
        assert program(torch.rand(number, 1, 8, 8)).shape == (number, 10)
    # one of the evaluation is the same network
    again, results, _ = run("--eval --checkpoint_name latest --export torch_export")
    assert results["exported"] == {"torch_export": "LeNet5.pt2"}
    images = torch.rand(3, 1, 8, 8)
    assert torch.export.load(again / "LeNet5.pt2").module()(images).equal(program(images))


@pytest.mark.skipif(not importlib.util.find_spec("onnxscript"), reason="needs onnx and onnxscript")
@pytest.mark.filterwarnings("ignore")
def test_onnx_writes_a_cut_network_for_any_number_of_images(run):
    output, results, _ = run(f"--model LeNet5 --prune_criterion SNAP --pruning_limit 0.8 --export onnx {SMALL}")
    assert results["exported"] == {"onnx": "LeNet5.onnx"}
    import onnx

    graph = onnx.load(output / "LeNet5.onnx").graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["images", "logits"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param
    if importlib.util.find_spec("onnxruntime"):
        assert results["notices"] == []


def test_a_missing_package_is_told_before_anything_is_done(run, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda _name: None)
    status, err = run(f"--model LeNet300 --export torch_export,onnx {SMALL}")
    assert status == 2
    assert "--export onnx needs onnx and onnxscript: pip install onnx onnxscript" in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
    check_packages(["torch_export"])
    with pytest.raises(UserError, match="pip install"):
        check_packages(["onnx"])


@pytest.mark.parametrize("formats", ["onyx", "onnx,", "torch_export,pt"])
def test_an_unknown_format_is_told_with_those_that_there_are(run, formats):
    status, err = run(f"--model LeNet300 --export {formats} {SMALL}")
    assert status == 2
    assert "is not one of onnx, torch_export" in err


def failing(_network, _images, _path):
    raise RuntimeError("no way\n  to trace it")


def wrong(_network, _images, path):
    path.write_bytes(b"")
    return lambda images: torch.zeros(len(images), 10)


@pytest.mark.parametrize(
    ("writer", "said"),
    [(failing, "could not be exported: RuntimeError: no way to trace it"), (wrong, "its outputs differ by 1.0e+00")],
)
def test_what_fails_or_differs_is_told_and_not_kept(run, monkeypatch, writer, said):
    monkeypatch.setitem(exporting._WRITERS, "torch_export", writer)
    output, results, _ = run(f"--model LeNet300 --export torch_export {SMALL}")
    assert results["exported"] == {}
    assert said in results["notices"][0]
    assert not list(output.glob("*.pt2"))


@pytest.mark.parametrize(
    ("off", "said"),
    [(0.9e-4, None), (1.1e-4, "differ by 1.1e-04"), (-2e-4, "differ by 2.0e-04"), (float("nan"), "differ by nan")],
)
def test_outputs_may_differ_by_a_ten_thousandth_of_the_largest(off, said):
    images = [torch.tensor([[1.0, -100.0]] * number) for number in (2, 1, 5)]

    def runner(batch):  # alike but for the batch of five
        return batch + torch.tensor([100 * off, 0.0]) if len(batch) == 5 else batch

    problem = exporting._difference(torch.nn.Identity(), runner, images)
    assert problem is None if said is None else problem.startswith("for 5 images") and said in problem


def test_the_latency_and_the_size_on_disk_are_kept_and_shown(run):
    output, results, out = run(f"--model LeNet300 --prune_criterion SNAP --pruning_limit 0.9 {SMALL}")
    for size in (1, 64):
        assert results[f"latency_ms_batch_{size}"] > 0
        assert results[f"latency_dense_ms_batch_{size}"] > 0
    models = output.parent / "models"
    size = sum((models / f"LeNet300_finished.{ending}").stat().st_size for ending in ("json", "safetensors"))
    assert results["checkpoint_bytes"] == size
    assert f"{size:,} bytes" in out
    assert "for 64 images" in out
    _, again, _ = run("--eval --checkpoint_name latest")
    assert again["checkpoint_bytes"] == size
    assert again["latency_ms_batch_64"] > 0
    _, dense, out = run(f"--model LeNet300 {SMALL}")
    assert "latency_ms_batch_1" not in dense
    assert " ms for 64 images" not in out
