"""Networks on disk: `<path>.safetensors` and `<path>.json`. Loading one runs no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.config.registry import find_class
from secateur.pruning.masks import Holding, Masks
from secateur.pruning.plan import record_of, remember
from secateur.runs.checkpoint import replay_removals, restore_checkpoint, save_checkpoint
from secateur.runs.checkpoint_metadata import Checkpoint, check_network, find_checkpoint, read_metadata
from secateur.runs.external_weights import load_external
from secateur.runs.networks import build_network, check_size
from secateur.utils.errors import UserError

ENDINGS = (".safetensors", ".json")


def save(network: nn.Module, path: str | Path, **metadata: Any) -> Path:
    """Write a network, pruned or not, as `path`.safetensors and `path`.json, each whole or not at all.

    Its tensors have their names in the `state_dict`; masks stand beside them, and the json says which channels were
    removed, so that `load` can cut a fresh network to fit. `metadata` goes to the json too: numbers, texts, lists;
    `input_shape`, `num_classes` and `options` let `load` build a network of the laboratory by its name. Returns the
    path without ending. Raises `OSError` where it cannot be written.
    """
    path, record = _without_ending(path), record_of(network)
    masks = Masks(network)
    if record:
        masks.restore({name: masks.weights[name].detach() != 0 for name in record.masked if name in masks.weights})
        metadata = {"input_shape": record.input_shape, "cuts": record.removed, **metadata}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, network, masks, {"model": type(network).__name__, **metadata})
    return path


def load(path: str | Path, network: nn.Module | None = None, *, hold: bool = True) -> nn.Module:
    """Load a network that `save` or a run has written.

        network = secateur.load("gitignored/results/2026-11-25_13.29.22/models/LeNet5_finished")
        network = secateur.load("small", MyNetwork())       # cut to fit, in place

    Parameters
    ----------
    path: of the checkpoint, with or without ending; or of a run folder, whose finished network is meant.
    network: a fresh dense instance of the class that was saved, which loses the same channels; without it the class is
        found by its name among the laboratory's.
    hold: whether masks hold from here on, in any loop.

    Raises `ValueError` where the file is damaged, belongs to another network, or names none that is known.
    """
    checkpoint = _find(Path(path))
    metadata = checkpoint.metadata
    if network is None:
        network = _built(metadata, checkpoint.path)
    shape, removed = metadata.get("input_shape"), metadata.get("cuts") or []
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    example = torch.zeros(1, *(shape or ()), device=device)
    if removed:
        replay_removals(checkpoint, network, example)
    masks = restore_checkpoint(checkpoint, network)
    if shape:
        remember(network, removed, masks.kept, example)
    if hold and masks.kept:
        Holding(masks)
    return network


def load_weights(network: nn.Module, path: str | Path, *, partial: bool = False) -> list[str]:
    """Load the weights of another project into a network: .pth, .pt, .pth.tar, .ckpt or .safetensors. No code is run.

    Names fit by more than being equal: the prefixes of DDP, Lightning and torch.compile, the pairs of
    torch.nn.utils.prune, and where names differ and all shapes agree, the order. With `partial` what is missing is left
    as it is. Returns the lines that say what fitted. Raises `ValueError` where the file does not fit.
    """
    return load_external(Path(path), network, partial=partial)


def _without_ending(path: str | Path) -> Path:
    path = Path(path)
    return path.with_name(path.name.removesuffix(path.suffix)) if path.suffix in ENDINGS else path


def _find(path: Path) -> Checkpoint:
    if (path / "models").is_dir():
        return find_checkpoint(path.parent.absolute(), path.name, None)
    plain = _without_ending(path)
    return Checkpoint(plain, read_metadata(plain))


def _built(metadata: dict[str, Any], path: Path) -> nn.Module:
    missing = [name for name in ("input_shape", "num_classes") if metadata.get(name) is None]
    if missing:
        raise UserError(f"{path}.json does not say its {missing[0]}: give a fresh network to load it into")
    facts = read_metadata(path, check_network)
    build = find_class("models", facts["model"])
    how = build, facts["model"], facts["input_shape"], facts["num_classes"], facts["options"]
    check_size(*how)
    return build_network(*how)
