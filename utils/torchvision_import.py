"""The only place that imports torchvision: `from secateur.utils.torchvision_import import torchvision`.

A CPU build of torch beside the registry's build of torchvision cannot load torchvision's compiled operators, and the
import then dies with "operator torchvision::nms does not exist". Pruning needs none of them, so the two that the import
looks for are declared first, and only where they are missing.
"""

import importlib.util
from pathlib import Path

import torch


def _declare_missing_operators() -> torch.library.Library | None:
    folder = Path(importlib.util.find_spec("torchvision").origin).parent
    for compiled in folder.glob("_C*"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:  # built for another torch: what it would have registered is missing
            continue
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


# The declarations last as long as this object.
_library = _declare_missing_operators()

import torchvision  # noqa: E402

__all__ = ["torchvision"]
