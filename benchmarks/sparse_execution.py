"""What zeros are worth by the clock: networks executed by lists of the weights that are there, against dense ones.

    python3 benchmarks/sparse_execution.py --parts inference training --seconds 3

Dense is torch in channels_last, float32; the two take turns in one process, and the figures are medians. Networks are
pruned at initialisation, as what is left computes as fast trained as untrained. `--execution auto` chooses, as in runs.

inference: ResNet18 at 32x32 with uniform masks and after SNIPit, VGG16 after SynFlow, LeNet300, ResNet50 at 64x64, with
the FLOPs ratio and the share of it that is realised. training: a whole step with Adam. rigl: runs of ResNet20. layers:
what binds each layer of ResNet18. files: sizes of checkpoints. memory: the peak of a process of its own. start: the
time until the kernels are there, without and with what is kept on disk.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secateur.cli import ENVIRONMENT

os.environ.update(ENVIRONMENT | os.environ)  # read when torch starts

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

import secateur
from secateur.measuring.flops import count_flops
from secateur.measuring.sparsity import measure_sparsity
from secateur.sparse.choice import median_times
from secateur.sparse.layer import SparseLayer
from secateur.training.precision import tune_cpu

SMALL, LARGER, DIGIT = (3, 32, 32), (3, 64, 64), (1, 28, 28)
LIMITS = (0.98, 0.95, 0.9, 0.5, 0.0)
#: What the kernels and oneDNN reach at most on one core, in multiply-adds a second: a product of large matrices.
MATRIX = 2048


START = """
import time, torch
before = time.perf_counter()
from secateur.sparse.kernels import compiled, convolve, convolve_planes
compiled(convolve), compiled(convolve_planes)
print(time.perf_counter() - before)
"""


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {part.__name__: part for part in (inference, training, rigl, layers, files, memory, start)}
    parser.add_argument("--parts", nargs="+", default=list(parts), choices=list(parts))
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each comparison (default: %(default)s)")
    parser.add_argument("--only", default="", help="networks of which the name holds this text")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    tune_cpu()
    if arguments.child:
        child(arguments.child)
        return
    os.environ.setdefault("XDG_CACHE_HOME", tempfile.mkdtemp())  # choices are made anew
    for name in arguments.parts:
        table = parts[name](arguments)
        table.title = f"{name}, {torch.get_num_threads()} threads"
        Console(width=140).print(table)


def build(name: str, shape: tuple[int, int, int], seed: int = 0) -> nn.Module:
    """Return the network with the same initial weights each time."""
    torch.manual_seed(seed)
    return getattr(import_module(f"secateur.models.{name}"), name)(shape, 10)


def uniform(network: nn.Module, limit: float) -> nn.Module:
    """Set this fraction of each layer's weights to zero, at random, under masks that hold."""
    if limit:
        options = {"distribution": "uniform", "outer_layer_pruning": True}
        example = torch.zeros(1, *SHAPES[type(network).__name__])
        secateur.prune(network, "UnstructuredRandom", sparsity=limit, example=example, **options)
    return network


def by_score(network: nn.Module, criterion: str, limit: float) -> nn.Module:
    """Prune by a criterion, on random images."""
    shape = SHAPES[type(network).__name__]
    batches = [(torch.rand(32, *shape), torch.randint(10, (32,))) for _ in range(2)]
    secateur.prune(network, criterion, sparsity=limit, batches=batches, outer_layer_pruning=True)
    return network


SHAPES = {"ResNet18": SMALL, "VGG16": SMALL, "LeNet300": DIGIT, "ResNet50": LARGER, "ResNet20": SMALL}
#: By what is printed: the network, and how it is pruned.
CASES: dict[str, tuple[str, Callable[[nn.Module], nn.Module]]] = {
    **{
        f"ResNet18, uniform {limit:.0%}": ("ResNet18", lambda net, limit=limit: uniform(net, limit)) for limit in LIMITS
    },
    "ResNet18, SNIPit 98%": ("ResNet18", lambda net: by_score(net, "SNIPit", 0.98)),
    "VGG16, SynFlow 98%": ("VGG16", lambda net: by_score(net, "SynFlow", 0.98)),
    "LeNet300, uniform 98%": ("LeNet300", lambda net: uniform(net, 0.98)),
    "ResNet50 at 64x64, uniform 95%": ("ResNet50", lambda net: uniform(net, 0.95)),
}


def chosen(only: str) -> Iterator[tuple[str, str, Callable[[nn.Module], nn.Module]]]:
    """The cases that are wanted."""
    for label, (name, pruning) in CASES.items():
        if only in label:
            yield label, name, pruning


def inference(arguments: argparse.Namespace) -> Table:
    """Forward passes of 64 images and of one."""
    table = Table("network", "images", "dense, ms", "executed, ms", "times", "FLOPs ratio", "realised", "choice")
    for label, name, pruning in chosen(arguments.only):
        network = pruning(build(name, SHAPES[name])).eval()
        dense = build(name, SHAPES[name]).eval().to(memory_format=torch.channels_last)
        flops = count_flops(network, torch.zeros(1, *SHAPES[name]))
        fewer = flops.total / flops.effective(measure_sparsity(network).densities)
        for size in (64, 1):
            images = torch.rand(size, *SHAPES[name])
            fast = secateur.accelerate(network, images)
            laid = images.contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                calls = {"dense": lambda: dense(laid), "fast": lambda: fast(images)}  # noqa: B023 - called at once
                times = median_times(calls, arguments.seconds)
            ratio = times["dense"] / times["fast"]
            shown = [f"{1000 * taken:.2f}" for taken in times.values()]
            how = str(next(iter(fast.choices.values())))
            table.add_row(label, str(size), *shown, f"{ratio:.2f}", f"{fewer:.1f}", f"{ratio / fewer:.0%}", how)
    return table


def step_of(network: nn.Module, called: nn.Module, images: Tensor) -> Callable[[], object]:
    """A step of training with Adam."""
    optimizer, targets = torch.optim.Adam(network.parameters()), torch.arange(len(images)) % 10
    network.train()

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(called(images), targets).backward()
        optimizer.step()

    return step


def training(arguments: argparse.Namespace) -> Table:
    """Steps of ResNet18 on 64 images."""
    table = Table("network", "dense, ms", "executed, ms", "times")
    images = torch.rand(64, *SMALL)
    for limit in LIMITS[:3]:
        network = uniform(build("ResNet18", SMALL), limit)
        dense = build("ResNet18", SMALL).to(memory_format=torch.channels_last)
        fast = secateur.accelerate(network, images, training=True)
        laid = images.contiguous(memory_format=torch.channels_last)
        steps = {"dense": step_of(dense, dense, laid), "fast": step_of(network, fast, images)}
        times = median_times(steps, arguments.seconds)
        shown = [f"{1000 * taken:.1f}" for taken in times.values()]
        table.add_row(f"ResNet18, uniform {limit:.0%}", *shown, f"{times['dense'] / times['fast']:.2f}")
    return table


def rigl(_: argparse.Namespace) -> Table:
    """Whole runs of ResNet20 by RigL at 95 %, on DIGITS at 3x32x32."""
    table = Table("seed", "execution", "training, s", "test accuracy")
    common = {"model": "ResNet20", "data_set": "DIGITS", "input_dim": [3, 32, 32], "prune_criterion": "RigL"}
    common |= {"pruning_limit": 0.95, "epochs": 4, "prune_delay": 0, "prune_freq": 1, "channels_last": True}
    with tempfile.TemporaryDirectory() as folder:
        for seed in (1, 2, 3):
            for way in ("dense", "auto"):
                results = secateur.run(**common, seed=seed, execution=way, results_dir=folder).results
                accuracy = f"{results['test_accuracy']:.2%}"
                table.add_row(str(seed), way, f"{results['seconds_training']:.1f}", accuracy)
    return table


def layers(arguments: argparse.Namespace) -> Table:
    """What binds each layer of ResNet18 at 98 % and 90 %, blocks of 64 images: arithmetic, or loads and layout."""
    columns = ("layer", "limit", "ms", "copying, ms", "G/s", "of the peak", "bound by")
    table = Table(*columns)
    square = torch.rand(MATRIX, MATRIX)
    peak = MATRIX**3 / median_times({"": lambda: square @ square}, 0.5)[""]
    for limit in (0.98, 0.9):
        network = uniform(build("ResNet18", SMALL), limit).eval()
        fast = secateur.accelerate(network, torch.rand(64, *SMALL), execution="sparse")
        inputs: dict[SparseLayer, tuple[Tensor, ...]] = {}
        (way,) = fast._ways.values()
        parts = [part for part in way.modules() if isinstance(part, SparseLayer)]
        for part in parts:
            part.register_forward_pre_hook(lambda part, given, inputs=inputs: inputs.update({part: given}))
        with torch.no_grad():
            fast(torch.rand(64, *SMALL))
            for part in parts:
                part._forward_pre_hooks.clear()
                given = inputs[part]
                empty = SparseLayer(type(part.layer)(**_like(part.layer)))
                nn.init.zeros_(empty.layer.weight)
                calls = {"all": lambda: part(*given), "copying": lambda: empty(given[0])}  # noqa: B023
                times = median_times(calls, arguments.seconds / 20)
                walk = part._forward_walk(given[0])
                products = len(walk.places) * walk.job.out_height * walk.job.out_width * len(given[0]) * 16
                speed = products / times["all"]
                bound = "copying and storing" if times["copying"] > times["all"] / 2 else "loads of inputs"
                shape = "x".join(map(str, part.layer.weight.shape))
                shown = [f"{1000 * times[key]:.2f}" for key in ("all", "copying")]
                table.add_row(shape, f"{limit:.0%}", *shown, f"{speed / 1e9:.1f}", f"{speed / peak:.0%}", bound)
    return table


def _like(layer: nn.Module) -> dict[str, object]:
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    names = ("in_features", "out_features") if isinstance(layer, nn.Linear) else names
    return {name: getattr(layer, name) for name in names}


def files(_: argparse.Namespace) -> Table:
    """Checkpoints of ResNet18."""
    table = Table("network", "bytes", "of dense")
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for limit in LIMITS[::-1]:
            path = Path(folder) / str(limit)
            secateur.save(uniform(build("ResNet18", SMALL), limit), path)
            sizes[limit] = sum(file.stat().st_size for file in Path(folder).glob(f"{limit}.*"))
            table.add_row(f"ResNet18, uniform {limit:.0%}", f"{sizes[limit]:,}", f"1/{sizes[0.0] / sizes[limit]:.1f}")
    return table


def memory(_: argparse.Namespace) -> Table:
    """The peak of a process that tests, and of one that trains, ResNet18 at 98 % with 64 images."""
    table = Table("what", "dense, MB", "executed, MB")
    for what in ("tests", "trains"):
        peaks = []
        for way in ("dense", "sparse"):
            command = [sys.executable, __file__, "--child", f"{what} {way}"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(f"{int(done.stdout.split()[-1]) / 1e6:.0f}")
        table.add_row(what, *peaks)
    return table


def start(_: argparse.Namespace) -> Table:
    """Seconds from nothing to kernels that are ready, torch's own start left out."""
    table = Table("", "seconds")
    with tempfile.TemporaryDirectory() as folder:
        for label in ("first, compiles", "later"):
            environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
            command = [sys.executable, "-c", START]
            root = Path(__file__).resolve().parent.parent
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=root)
            table.add_row(label, f"{float(done.stdout):.2f}")
    return table


def child(task: str) -> None:
    """Do one thing in a process of its own, and print what it came to."""
    what, way = task.split()
    network = uniform(build("ResNet18", SMALL), 0.98).eval()
    images = torch.rand(64, *SMALL)
    fast = secateur.accelerate(network, images, execution=way, training=what == "trains")
    if what == "trains":
        step = step_of(network, fast, images)
        for _ in range(3):
            step()
    else:
        with torch.no_grad():
            fast(images)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))  # noqa: T201


if __name__ == "__main__":
    main()
