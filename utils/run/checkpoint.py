"""Checkpoints: `<name>.safetensors` with the tensors, and `<name>.json` with all else. No pickle: loading runs no code.

The tensors of the network have their names in its `state_dict`, so that the file loads into a plain network as it is;
the masks stand beside them as `masks/<layer>`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from utils.errors import UserError, nearest, one_line
from utils.pruning.masks import Masks
from utils.run.files import write_atomically, write_json

MASK_PREFIX = "masks/"
FORMAT = 1


@dataclass
class Checkpoint:
    """A network on disk."""

    path: Path
    #: What the network is and how far it was trained; see `save_checkpoint`.
    facts: dict[str, Any]

    def restore(self, network: nn.Module, masks: Masks) -> None:
        """Load weights and masks into a network of the same kind.

        Raises `UserError` where the file is damaged or belongs to another network, naming the first difference.
        """
        try:
            tensors = safetensors.torch.load_file(_beside(self.path, ".safetensors"))
        except (OSError, SafetensorError) as error:
            reason = one_line(error)
            raise UserError(f"the checkpoint {self.path}.safetensors cannot be read: {reason}") from error
        state = {name: tensor for name, tensor in tensors.items() if not name.startswith(MASK_PREFIX)}
        own = network.state_dict()
        shared = own.keys() - _unshared(own).keys()
        missing, extra = own.keys() - state.keys() - shared, state.keys() - own.keys()
        misshaped = [name for name in state.keys() & own.keys() if state[name].shape != own[name].shape]
        if missing or extra or misshaped:
            first = sorted([*missing, *extra, *misshaped])[0]
            raise UserError(
                f"the checkpoint {self.path.name} is of another network: {len(missing)} tensors are missing, "
                f"{len(extra)} are unknown and {len(misshaped)} have another shape; the first is {first}"
            )
        network.load_state_dict(state, strict=False)
        kept = {
            name.removeprefix(MASK_PREFIX): tensor.to(next(network.parameters()).device)
            for name, tensor in tensors.items()
            if name.startswith(MASK_PREFIX)
        }
        unknown = sorted(kept.keys() - masks.weights.keys())
        if unknown:
            raise UserError(f"the checkpoint {self.path.name} is of another network: it masks a layer {unknown[0]}")
        masks.set(kept)


def save_checkpoint(path: Path, network: nn.Module, masks: Masks, facts: dict[str, Any]) -> None:
    """Write `path`.safetensors and `path`.json, each whole or not at all.

    `facts` name the network so that it can be built again: model, input_shape, num_classes, options, data_set; and say
    how it came about: epoch, figures.
    """
    tensors = _unshared(network.state_dict())
    tensors.update({f"{MASK_PREFIX}{name}": mask for name, mask in masks.kept.items()})
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(_beside(path, ".safetensors"), safetensors.torch.save(plain))
    write_json(_beside(path, ".json"), {"format": FORMAT, **facts})


def find_checkpoint(results: Path, run: str, model: str | None) -> Checkpoint:
    """Find a checkpoint by `--checkpoint_name` (a folder of `results`, a path, or latest) and `--checkpoint_model`.

    Without the latter it is the one that ends in `_finished`. Raises `UserError` naming what is there instead.
    """
    folder = _run_folder(results, run)
    there = sorted(path.stem for path in (folder / "models").glob("*.json"))
    if model is None:
        finished = [name for name in there if name.endswith("_finished")]
        if not finished:
            found = f"there is {', '.join(there)}" if there else "it holds no checkpoint"
            raise UserError(f"{folder} has no finished network ({found}): name one with --checkpoint_model")
        model = finished[0]
    if model not in there:
        raise UserError(f"--checkpoint_model: {folder / 'models'} holds no '{model}'{nearest(model, there)}")
    path = folder / "models" / model
    try:
        facts = json.loads(_beside(path, ".json").read_text())
        facts = {**facts, "input_shape": tuple(facts["input_shape"]), "options": dict(facts["options"])}
        if not (isinstance(facts["model"], str) and isinstance(facts["num_classes"], int)):
            raise TypeError("model and num_classes are of the wrong type")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the checkpoint {path}.json cannot be read: {type(error).__name__}: {error}") from error
    return Checkpoint(path, facts)


def _beside(path: Path, ending: str) -> Path:
    """`path` with an ending; a name may hold dots itself."""
    return path.with_name(path.name + ending)


def _run_folder(results: Path, run: str) -> Path:
    if run != "latest":
        for folder in (results / run, Path(run)):
            if (folder / "models").is_dir():
                return folder
        names = [path.name for path in results.glob("*") if (path / "models").is_dir()]
        raise UserError(f"--checkpoint_name: there is no run folder '{run}' in {results}{nearest(run, names)}")
    # A run that is still going, or an evaluation, has no finished network.
    finished = sorted(results.glob("*/models/*_finished.json"), key=lambda path: path.stat().st_mtime_ns)
    if not finished:
        raise UserError(f"--checkpoint_name latest: no run in {results} has finished yet")
    return finished[-1].parent.parent


def _unshared(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what is the same tensor under a second name, which safetensors does not store."""
    seen, kept = set(), {}
    for name, tensor in state.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() == 0 or key not in seen:
            seen.add(key)
            kept[name] = tensor
    return kept
