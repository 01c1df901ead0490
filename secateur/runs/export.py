"""Writes a finished network in forms that other programs run: ONNX, and torch.export's."""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.export import Dim

from secateur.utils.errors import UserError, one_line

if TYPE_CHECKING:
    from secateur.runs.run import Run

#: What the outputs of the exported network may differ by, relative to the largest.
TOLERANCE = 1e-4
#: Packages that a format needs beside the requirements.
NEEDS = {"onnx": ("onnx", "onnxscript"), "torch_export": ()}

Runner = Callable[[Tensor], Tensor]


def check_packages(formats: Iterable[str]) -> None:
    """Raise `UserError` where a package is missing that a format needs."""
    for name in formats:
        missing = [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]
        if missing:
            raise UserError(f"--export {name} needs {' and '.join(missing)}: pip install {' '.join(NEEDS[name])}")


def export(run: Run) -> dict[str, str]:
    """Write the network to the run's output/ in each format of `--export`, any number of images at once.

    Each file is read again and its outputs are compared. Returns the files' names by format; a file that cannot be
    made, or does not compute the same, is not kept, and a notice says why.
    """
    written = {}
    network = copy.deepcopy(run.network).cpu().to(memory_format=torch.contiguous_format).eval()
    generator = torch.Generator().manual_seed(run.options.seed)
    # The first is traced; a network that was written for that number of images alone would fail at the others.
    samples = [torch.rand((number, *run.example.shape[1:]), generator=generator) for number in (2, 1, 5)]
    for name in run.options.export or ():
        path = run.folder.output / f"{run.model_name}{'.onnx' if name == 'onnx' else '.pt2'}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                runner = _WRITERS[name](network, samples[0], path)
                problem = _difference(network, runner, samples) if runner else None
        except Exception as error:  # whatever these compilers raise, the run itself has finished well
            problem = f"{type(error).__name__}: {one_line(error, 300)}"
            path.unlink(missing_ok=True)
            run.notify(f"--export {name}: the network could not be exported: {problem}")
            continue
        if problem:
            path.unlink()
            run.notify(f"--export {name}: {problem}; the file was not kept")
            continue
        if runner is None:
            run.notify(f"--export {name}: {path.name} was not checked, which needs: pip install onnxruntime")
        else:
            run.log.info(f"exported {path.name}, which computes the same")
        written[name] = path.name
    return written


def _write_onnx(network: nn.Module, images: Tensor, path: Path) -> Runner | None:
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        torch.onnx.export(
            network,
            (images,),
            str(path),
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: Dim.DYNAMIC},),
        )
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _write_torch_export(network: nn.Module, images: Tensor, path: Path) -> Runner:
    program = torch.export.export(network, (images,), dynamic_shapes=({0: Dim.DYNAMIC},))
    torch.export.save(program, path)
    return torch.export.load(path).module()


@torch.no_grad()
def _difference(network: nn.Module, runner: Runner, samples: list[Tensor]) -> str | None:
    """Say how far apart the outputs are, where they are."""
    for images in samples:
        expected, found = network(images), runner(images)
        apart = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
        if not apart <= TOLERANCE:
            return f"for {len(images)} images its outputs differ by {apart:.1e}, relative to the largest"
    return None


_WRITERS: dict[str, Callable[[nn.Module, Tensor, Path], Runner | None]] = {
    "onnx": _write_onnx,
    "torch_export": _write_torch_export,
}
