"""What of the networks of torchvision and timm can lose channels, and whether what is left is right, as a page.

    python3 benchmarks/zoo.py --results zoo.jsonl --seconds 150           # some networks; again, until none is left
    python3 benchmarks/zoo.py --results zoo.jsonl --page networks.md

Each network is measured in a process of its own, with random weights and random statistics of norms, on small images.
Half of the channels of each group go (in `errors` also a quarter, and nine tenths), and the outputs in float64 are
compared with those of the network that has them at zero; where a norm takes its statistics over channels, over those
that are left. The half is trained for one step, saved, loaded into a fresh network, and exported. Seconds are CPU time
of one thread, once both programs are warm. timm and torch-pruning are used where they are installed.
"""

import argparse
import copy
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from secateur.cli import ENVIRONMENT

os.environ.update(ENVIRONMENT | os.environ)  # read when torch starts

import torch
from torch import Tensor, nn
from torch.nn import functional

import secateur
from benchmarks.zoo_networks import CLASSES, MOST, blocks_of, build, is_large, names, parameters_of, scatter
from benchmarks.zoo_page import page
from secateur.channels.coupling import Coupling
from secateur.channels.groups import outputs_of
from secateur.channels.labels import OUTPUTS
from secateur.channels.surgery import Held, Removal, Surgery, zero_channels
from secateur.pruning.build import prepare_network
from secateur.pruning.layers import execution_order, outputs_first, prunable_layers
from secateur.pruning.plan import remember
from secateur.utils.errors import one_line

FRACTIONS = (0.25, 0.5, 0.9)
#: An error above this is looked into: it may be rounding, which a network makes larger.
ROUNDING = 1e-11
#: Both programs are warm once they have seen this network.
WARM = "torchvision:mobilenet_v3_small"


def main() -> None:
    """Measure networks that have no result yet, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True, help="a file with a line of JSON for each network")
    parser.add_argument("--names", nargs="+", help="networks to measure, as torchvision:resnet18 (default: all)")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no further network after this time")
    parser.add_argument("--timeout", type=int, default=170, help="CPU seconds for one network (default: %(default)s)")
    parser.add_argument("--page", type=Path, help="write the page of what has been measured here")
    arguments = parser.parse_args()
    rows = read(arguments.results)
    if arguments.page:
        arguments.page.write_text(page(rows, names()), encoding="utf-8")
        return
    start = time.monotonic()
    warm_up()
    waiting = [name for name in arguments.names or names() if name not in rows]
    while waiting and time.monotonic() - start < arguments.seconds:
        row = measured_apart(waiting.pop(0), arguments.timeout)
        with arguments.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    sys.stdout.write(f"{len(waiting)} networks are left\n")


def read(path: Path) -> dict[str, dict]:
    """Return the rows by network; of several for one, the last."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {row["network"]: row for row in map(json.loads, lines)}


def measured_apart(name: str, timeout: int) -> dict:
    """Measure a network in a process of its own, which has all imports; where that fails, why."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=report, args=(name, sender, timeout))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return failed(name, f"took more than {timeout} s of CPU time, or more memory than there is")
    finally:
        process.kill()
        process.join()


def report(name: str, sender: Connection, timeout: int) -> None:
    """Send what there is to say of a network, or why there is nothing."""
    resource.setrlimit(resource.RLIMIT_CPU, (timeout, timeout))
    try:
        sender.send(measure(name, timeout))
    except Exception as why:  # in any way: that is what is to be found out
        sender.send(failed(name, f"{type(why).__name__}: {one_line(why)[:200]}"))


def failed(name: str, why: str) -> dict:
    """The row of a network that could not be measured."""
    return {"network": name, "failed": why}


def warm_up() -> None:
    """Trace a small network with both programs: the first is slower than others."""
    torch.set_num_threads(1)
    Coupling(*build(WARM)).groups()
    if pruning := torch_pruning():
        step(pruning, *build(WARM))


def measure(name: str, timeout: int) -> dict:
    """Return what there is to say of a network; Torch-Pruning has a third of the seconds that there are."""
    network, image = build(name)
    size = parameters_of(network)
    if size > MOST:
        return failed(name, f"{size / 1e6:.0f} million parameters, too large to be measured in 4 GB")
    row = {
        "network": name,
        "date": time.strftime("%Y-%m-%d"),
        "side": image.shape[-1],
        "millions": round(size / 1e6, 1),
    }
    row["shortened"] = is_large(name)
    row |= with_torch_pruning(name, timeout / 3)
    scatter(network)
    prepare_network("L1Norm", network)
    start = time.process_time()
    Coupling(network, image).groups()
    row["traced"] = round(time.process_time() - start, 2)
    start = time.process_time()
    surgery = Surgery(network, image)
    row["tried"] = round(time.process_time() - start - row["traced"], 2)
    layers = prunable_layers(network)
    before = {layer: len(outputs_first(module)) for layer, module in layers.items()}
    free = outputs_of(group for group in surgery.groups.values() if len(group.units) > 1)
    row["outputs"] = sum(before.values()) - CLASSES
    row["free"] = sum(free.values())
    fixed = surgery.fixed
    row |= {"layers": len(layers), "whole": sum(held.outputs == held.of for held in fixed.values())}
    row["fixed"] = {layer: str(held) for layer, held in list(fixed.items())[:4]}
    removals = {fraction: removals_of(surgery, fraction) for fraction in FRACTIONS}
    row["errors"] = [error(network, surgery, image, cuts) for cuts in removals.values()]
    if max(row["errors"]) > ROUNDING:
        row["unsteady"] = max(unsteadiness(network, surgery, image, cuts) for cuts in removals.values())
    start = time.process_time()
    broken = surgery.breaches(removals[0.5])
    row["checked"], row["broken"] = round(time.process_time() - start, 2), broken
    left = [cut for cut in removals[0.5] if cut[0] not in broken]
    start = time.process_time()
    surgery.remove(left)
    row["removed"] = round(time.process_time() - start, 2)
    lost = {layer for layer, module in layers.items() if len(outputs_first(module)) < before[layer]}
    classes = {execution_order(network, image)[-1], *(layer for layer, held in fixed.items() if held.reason == OUTPUTS)}
    blocks = blocks_of([layer for layer in layers if layer not in classes])
    whole = {block: sorted(own) for block, own in blocks.items() if not lost & own}
    row |= {"blocks": len(blocks), "lossless": {block: reason(own, fixed) for block, own in whole.items()}}
    remember(network, [left], {}, image)
    for key, check in (("step", trains), ("loaded", loads), ("exported", exports)):
        try:
            row[key] = check(network, image, name)
        except Exception as why:  # see above
            row[key] = f"{type(why).__name__}: {one_line(why)[:120]}"
    row["gigabytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)
    return row


def reason(layers: list[str], fixed: dict[str, Held]) -> str:
    """Why layers lose nothing, of the first that says so."""
    return next((f"{layer}: {fixed[layer].reason}" for layer in layers if layer in fixed), f"{layers[0]}: no reason")


def removals_of(surgery: Surgery, fraction: float) -> list[Removal]:
    """Draw this fraction of the units of each group, as far as they can go together."""
    generator, removals = torch.Generator().manual_seed(2), []
    for root, group in surgery.groups.items():
        order = torch.randperm(len(group.units), generator=generator).tolist()
        if units := group.removable(order)[: round(fraction * len(order))]:
            removals.append((root, sorted(group.units[units].flatten().tolist())))
    return removals


@torch.no_grad()
def error(network: nn.Module, surgery: Surgery, image: Tensor, removals: list[Removal]) -> float:
    """How far outputs without channels are off those with zeros, relative to the largest, in float64."""
    expected = zeroed(network, surgery, removals)(images_like(image))
    smaller = copy.deepcopy(network).double()
    surgery.remove(removals, smaller)
    return float((smaller(images_like(image)) - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def unsteadiness(network: nn.Module, surgery: Surgery, image: Tensor, removals: list[Removal]) -> float:
    """How far outputs move, relative to the largest, when images become larger by two parts in 1e16, in float64."""
    images, exact = images_like(image), zeroed(network, surgery, removals)
    expected = exact(images)
    return float((exact(images * (1 + 2**-52)) - expected).abs().max() / expected.abs().max())


def images_like(image: Tensor) -> Tensor:
    """Two random images in float64, the same at each call."""
    return torch.rand((2, *image.shape[1:]), generator=torch.Generator().manual_seed(3), dtype=torch.double)


def zeroed(network: nn.Module, surgery: Surgery, removals: list[Removal]) -> nn.Module:
    """A copy in float64 whose channels are zero."""
    exact = copy.deepcopy(network).double()
    for root, channels in removals:
        zero_channels(exact, surgery.groups[root], torch.tensor(channels))
    return exact


def trains(network: nn.Module, image: Tensor, _name: str) -> str:
    """One step of SGD."""
    images, targets = torch.rand((4, *image.shape[1:])), torch.arange(4)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)
    loss = functional.cross_entropy(network.train()(images), targets)
    loss.backward()
    optimizer.step()
    network.eval()
    return "yes" if bool(loss.isfinite()) else "its loss is not finite"


@torch.no_grad()
def loads(network: nn.Module, image: Tensor, name: str) -> str:
    """A checkpoint, and a fresh network that takes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = secateur.save(network, Path(folder) / "small", input_shape=list(image.shape[1:]))
        fresh = secateur.load(path, build(name)[0]).eval()
    return "yes" if torch.allclose(fresh(image), network(image), rtol=1e-4, atol=1e-5) else "it computes something else"


def exports(network: nn.Module, image: Tensor, _name: str) -> str:
    """A program of torch.export that computes the same."""
    with torch.no_grad():
        program = torch.export.export(network, (image,))
        same = torch.allclose(program.module()(image), network(image), rtol=1e-4, atol=1e-5)
    return "yes" if same else "it computes something else"


def with_torch_pruning(name: str, limit: float) -> dict:
    """Return which outputs Torch-Pruning can remove half of, and the seconds it takes, where it is installed."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"it took more than {limit:.0f} s of CPU time")

    if not (pruning := torch_pruning()):
        return {}
    network, image = build(name)
    scatter(network)
    before = {layer: len(outputs_first(module)) for layer, module in prunable_layers(network).items()}
    start = time.process_time()
    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        step(pruning, network, image)
        seconds = round(time.process_time() - start, 2)
        with torch.no_grad():
            network(image)
    except Exception as why:  # see above
        return {"theirs": f"{type(why).__name__}: {one_line(why)[:80]}"}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    after = {layer: len(outputs_first(module)) for layer, module in prunable_layers(network).items()}
    free = sum(before[layer] for layer in before if after.get(layer, before[layer]) < before[layer])
    return {"their_free": free, "their_seconds": seconds}


def torch_pruning() -> ModuleType | None:
    """Torch-Pruning, where it is installed."""
    try:
        import torch_pruning
    except ImportError:
        return None
    return torch_pruning


def step(pruning: ModuleType, network: nn.Module, image: Tensor) -> None:
    """Trace a network with Torch-Pruning, and remove half of its channels by their size."""
    last = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    importance = pruning.importance.GroupMagnitudeImportance(p=1)
    pruner = pruning.pruner.BasePruner(network, image, importance=importance, pruning_ratio=0.5, ignored_layers=[last])
    pruner.step()


if __name__ == "__main__":
    main()
