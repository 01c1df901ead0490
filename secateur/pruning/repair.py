"""Repairs: a pruned network is brought nearer to what it gave before, on calibration batches, without labels.

Each is measured, and taken back where it would raise the error.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from secateur.channels.chains import used_once
from secateur.channels.coupling import KeptIndices
from secateur.pruning.fitting import fit, outputs_of
from secateur.pruning.layer_inputs import exact, sampled_rows, see_inputs, seeing_outputs
from secateur.pruning.layers import along_outputs, outputs_first, prunable_layers
from secateur.pruning.looking import Images
from secateur.pruning.masks import Masks
from secateur.utils.errors import UserError
from secateur.utils.modes import batch_statistics, evaluation_mode, trainable
from secateur.utils.seeds import seeded_generator
from secateur.utils.stateful import load_own

#: Images in a step of `distill`.
DISTILL_BATCH = 32
#: The error is multiplied by this for its gradients, which float16 would lose; a power of two changes no other format.
DISTILL_SCALE = 2.0**12


class Steps(NamedTuple):
    """The steps of `distill`: how many, the step size of Adam, which falls on a line to zero, and what seeds them.

    Forward passes run under `autocast`, as those of training.
    """

    count: int = 500
    rate: float = 1e-3
    seed: int = 333
    autocast: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext


@dataclass(frozen=True)
class Repair:
    """What a repair did."""

    name: str
    #: The mean over the layers of |what it gave before - what it gives|^2 / |what it gave before|^2; of `distill`,
    #: which looks at nothing else, that of the network's outputs.
    error_before: float
    error_after: float
    #: Whether it would have raised the error, and nothing was changed.
    taken_back: bool
    seconds: float

    def __str__(self) -> str:
        ended = ", and was undone" if self.taken_back else ""
        return f"repair {self.name}: error {self.error_before:.4g} -> {self.error_after:.4g}{ended}"


class Reference:
    """What a network gives on calibration batches before it is pruned: its outputs and those of its layers.

    Parameters: `batches` of inputs (B, C, H, W) and targets; `follows`, whether channels may be removed from it;
    `most` of the images that layers are looked at by. Layers that are used several times are not looked at, nor fitted.
    """

    @torch.no_grad()
    def __init__(
        self,
        network: nn.Module,
        batches: Iterable[tuple[Tensor, Tensor]],
        *,
        follows: bool = False,
        most: int | None = None,
    ) -> None:
        self.images = torch.cat([inputs for inputs, _ in batches])
        #: Those that layers are looked at by, and errors.
        self.some = self.images[:most]
        once = used_once(network, self.images[:1])
        layers = {name: layer for name, layer in prunable_layers(network).items() if name in once}
        shifted = [name for name, module in network.named_modules() if name in layers or isinstance(module, _BatchNorm)]
        self._looking = Images(network, layers, self.some)
        self.layers: dict[str, list[Tensor]] = {name: [] for name in layers}
        sums: dict[str, list[Tensor]] = {}

        def sample(name: str, layer: nn.Module, parts: Iterator[Tensor]) -> None:
            self.layers[name].extend(outputs_of(layer, rows) for rows in parts)

        def average(name: str, module: nn.Module, outputs: Tensor) -> None:
            rows = exact(_rows(module, outputs))
            sums.setdefault(name, []).append(torch.stack([rows.sum(0), rows.new_full(rows.shape[1:], len(rows))]))

        biased = [name for name in shifted if network.get_submodule(name).bias is not None]
        with seeing_outputs(network, biased, average):
            self.outputs = self._looking.look(network, layers, sample)
        if len(self.some) < len(self.images):
            self.outputs = Images(network, (), self.images).look(network, (), _nothing)
        #: The mean of each output of a layer, or channel of a norm, (C,); of those that are used once.
        self.means = {
            name: torch.div(*torch.stack(parts).sum(0)).to(self.images)
            for name, parts in sums.items()
            if len(parts) == len(self._looking.parts)
        }
        #: Which output of a layer, or channel of a norm, each of its weights belongs to, flat; by the weight's name.
        self._numbers: dict[str, Tensor] = {}
        for name in (*layers, *self.means) if follows else ():
            module = network.get_submodule(name)
            ours = torch.arange(len(outputs_first(module)), device=self.images.device)
            self._numbers[name] = (
                along_outputs(module, ours).expand_as(module.weight) if module.weight.dim() > 1 else ours
            ).flatten()

    def keep_indices(self, network: nn.Module, kept: KeptIndices) -> None:
        """Follow a network that has lost channels, and whose queries were scaled; see channels/coupling.py."""
        for name, numbers in self._numbers.items():
            weight = f"{name}.weight" if name else "weight"
            left, scale = kept.get(weight), kept.scales.get(weight)
            if scale is not None and name in self.layers:
                self.layers[name] = [part * scale.to(part) for part in self.layers[name]]
            if scale is not None and name in self.means:
                self.means[name] = self.means[name] * scale.to(self.means[name])
            if left is None:
                continue
            before = numbers.unique()
            module = network.get_submodule(name)
            self._numbers[name] = numbers = numbers[left.to(numbers.device)]
            shaped = numbers.view(module.weight.shape)
            if shaped.dim() > 1:
                shaped = outputs_first(module, shaped).flatten(1)[:, 0]
            places = torch.searchsorted(before, shaped.contiguous())
            if name in self.layers:
                self.layers[name] = [part[:, places] for part in self.layers[name]]
            if name in self.means:
                self.means[name] = self.means[name][places]

    def layer_error(self, network: nn.Module) -> float:
        """The mean over the layers of their squared error relative to what they gave."""
        found: dict[str, list[Tensor]] = {}
        wanted = {name: iter(parts) for name, parts in self.layers.items()}

        def measure(name: str, layer: nn.Module, parts: Iterator[Tensor]) -> None:
            for rows in parts:
                gave = exact(next(wanted[name]))
                missing = gave - exact(outputs_of(layer, rows))
                found.setdefault(name, []).append(torch.stack([missing.square().sum(), gave.square().sum()]))

        self._looking.look(network, self.layers, measure)
        errors = [torch.stack(sums).sum(0) for sums in found.values()]
        return sum(float(missing / there.clamp(min=1e-300)) for missing, there in errors) / max(len(errors), 1)

    def output_error(self, network: nn.Module) -> float:
        """The same of the network's outputs; raises `UserError` where they are no tensor."""
        if not isinstance(self.outputs, Tensor):
            raise UserError("--repair distill needs a network that gives one tensor")
        gave = exact(self.outputs[: len(self.some)])
        missing = gave - exact(self._looking.look(network, (), _nothing))
        return float(missing.square().sum() / gave.square().sum().clamp(min=1e-300))


def repair(
    network: nn.Module, reference: Reference, names: Sequence[str], masks: Masks, steps: Steps | None = None
) -> list[Repair]:
    """Make the repairs that are named, one after another, in place; what is pruned stays zero.

    Parameters: `names` of REPAIRS; `steps` of `distill`. What would raise the error on the calibration batches is taken
    back.
    """
    done = []
    for name in names:
        start = time.perf_counter()
        error = reference.output_error if name == "distill" else reference.layer_error
        held = {key: value.clone() for key, value in network.state_dict().items()}
        before = (
            done[-1].error_after if done and (name == "distill") == (done[-1].name == "distill") else error(network)
        )
        REPAIRS[name](network, reference, masks, steps or Steps())
        masks.apply_to_weights()
        after = error(network)
        if taken_back := not after <= before:
            load_own(network, held)
            after = before
        done.append(Repair(name, before, after, taken_back, time.perf_counter() - start))
    return done


def idle(network: nn.Module, names: Sequence[str], *, rewinds: bool) -> list[str]:
    """Say which of the repairs that are named have no effect; `rewinds`: whether training undoes them."""
    if rewinds:
        return [f"--repair {','.join(names)} has no effect with rewinding"]
    return ["--repair bn has no effect without batch norms"] if "bn" in names and not _norms(network) else []


@torch.no_grad()
def renew_batch_norms(network: nn.Module, reference: Reference, masks: Masks, steps: Steps) -> None:
    """Batch norms take the statistics of the calibration batches, each after those before it have taken theirs."""

    def renew(name: str, norm: nn.Module, inputs: Tensor) -> None:
        if inputs.numel() == inputs.shape[1]:  # a single number of a channel has no variance
            return
        variance, mean = torch.var_mean(inputs.float(), dim=[dim for dim in range(inputs.dim()) if dim != 1])
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    if norms := _norms(network):
        see_inputs(network, norms, reference.some, renew)


@torch.no_grad()
def correct_means(network: nn.Module, reference: Reference, masks: Masks, steps: Steps) -> None:
    """Biases of layers and norms change by what the mean of each output has lost (Nagel et al., 2019, section 4.2)."""

    def correct(name: str, module: nn.Module, outputs: Tensor) -> Tensor:
        shift = reference.means[name] - exact(_rows(module, outputs)).mean(0).to(outputs)
        module.bias.add_(shift)
        return outputs + (shift if isinstance(module, nn.Linear) else shift.view(-1, *[1] * (outputs.dim() - 2)))

    with seeing_outputs(network, reference.means, correct):
        see_inputs(network, (), reference.some, _nothing)


@torch.no_grad()
def refit_layers(network: nn.Module, reference: Reference, masks: Masks, steps: Steps) -> None:
    """Each layer is fitted, by the weights that it has left, to what it gave before, by the inputs that it gets now."""

    def refit(name: str, layer: nn.Module, inputs: Tensor) -> None:
        kept = masks.kept.get(name, torch.ones_like(layer.weight, dtype=torch.bool))
        fit(layer, kept, list(sampled_rows(name, layer, inputs)), reference.layers[name])

    see_inputs(network, reference.layers, reference.some, refit)


def distill(network: nn.Module, reference: Reference, masks: Masks, steps: Steps) -> None:
    """`--distill_steps` of Adam on the squared error of the network's outputs, norms by the statistics of each batch.

    Then batch norms take those of the calibration batches.
    """
    parameters = list(network.parameters())
    moments = [torch.zeros_like(parameter) for parameter in parameters]
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    generator = seeded_generator(steps.seed, "distill")
    scale = reference.outputs.square().mean().clamp(min=1e-12)
    mode = batch_statistics if len(reference.images) > 1 else evaluation_mode  # one image may be one number a channel
    with mode(network), trainable(parameters), torch.enable_grad():
        for step in range(steps.count):
            some = torch.randperm(len(reference.images), generator=generator)[:DISTILL_BATCH].to(scale.device)
            with steps.autocast():
                outputs = network(reference.images[some])
            error = (outputs.to(scale) - reference.outputs[some]).square().mean() / scale
            # By no optimizer of torch, whose steps others may count.
            gradients = torch.autograd.grad(DISTILL_SCALE * error, parameters, materialize_grads=True)
            with torch.no_grad():
                gradients = torch._foreach_div(gradients, DISTILL_SCALE)
                torch._foreach_lerp_(moments, gradients, 0.1)
                torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 0.01)
                sizes = torch._foreach_sqrt(torch._foreach_div(squares, 1 - 0.99 ** (step + 1)))
                torch._foreach_add_(sizes, 1e-8)
                rate = steps.rate * (1 - step / steps.count) / (1 - 0.9 ** (step + 1))
                torch._foreach_addcdiv_(parameters, moments, sizes, value=-rate)
                masks.apply_to_weights()
    renew_batch_norms(network, reference, masks, steps)


#: What `--repair` can name.
REPAIRS: dict[str, Callable[[nn.Module, Reference, Masks, Steps], None]] = {
    "bn": renew_batch_norms,
    "bias": correct_means,
    "least_squares": refit_layers,
    "distill": distill,
}


def _norms(network: nn.Module) -> list[str]:
    """The names of the batch norms that take running statistics."""
    named = network.named_modules()
    return [name for name, module in named if isinstance(module, _BatchNorm) and module.running_mean is not None]


def _nothing(*_: object) -> None:
    """What is done to no layer."""


def _rows(module: nn.Module, outputs: Tensor) -> Tensor:
    """What a layer or a norm gives, (rows, C)."""
    return (outputs if isinstance(module, nn.Linear) else outputs.movedim(1, -1)).flatten(0, -2)
