"""Settings of a run as a whole: what it is, where it leaves its results, what it computes on. Free of torch."""

from __future__ import annotations

from pathlib import Path

from secateur.config.option import FREE_TEXT, KEEP, Section, option


class RunOptions(Section):
    """What kind of run it is, and what it leaves."""

    title = "run and results"

    seed: int = option(333, "seed of all that is random", low=0, high=4_294_967_295)
    run_name: str = option(
        "", "added to the run folder's name", pattern=FREE_TEXT, also=("expid", "experiment_id"), changes_numbers=False
    )
    results_dir: Path | None = option(
        None,
        "where run folders are made (default: gitignored/results)",
        also=("output_dir",),
        is_path=True,
        changes_numbers=False,
    )
    components: Path | None = option(
        None,
        "a folder of your own whose criterions/, models/, ... are searched too (default: the current folder)",
        is_path=True,
        changes_numbers=False,
    )
    control: str | None = option(
        None,
        "what this run is a control as, for reports; --controls says it",
        choices=("same_parameters", "same_flops", "same_densities", "shuffled", "reinitialised"),
        metavar="NAME",
        changes_numbers=False,
        only_training=True,
    )
    control_of: str | None = option(
        None,
        "and of which run of a grid: how the name of its folder ends",
        pattern=(r"_[0-9a-f]{8}", "the end of a folder's name, as _0123abcd"),
        metavar="_KEY",
        changes_numbers=False,
        only_training=True,
    )
    smoke: bool = option(
        False,
        "try it out in seconds: a few images (synthetic where a data set is not there), epochs, runs of a grid",
    )
    no_compact: bool = option(
        False,
        "do not keep the network without the channels it does not need, <Model>_compact",
        changes_numbers=False,
        only_training=True,
        smoke=True,
    )
    latency: bool = option(
        False,
        "measure the latency, which runs do that have removed channels, beside the dense network's",
        changes_numbers=False,
    )
    export: list[str] | None = option(
        None,
        "write the finished network as onnx (needs the packages onnx and onnxscript), torch_export or both: A,B",
        choices=("onnx", "torch_export"),
        metavar="FORMATS",
        changes_numbers=False,
        smoke=KEEP,
    )


class CheckpointOptions(Section):
    """Which network a run starts from."""

    title = "checkpoints"

    eval: bool = option(
        False,
        "test a checkpoint instead of training; its network and data set need not be named",
        changes_numbers=False,
    )
    checkpoint_name: str | None = option(
        None,
        "start from a checkpoint of this run folder: a name, a path, or latest; with --eval a,b,c compares several",
        pattern=FREE_TEXT,
        metavar="RUN",
        is_path=True,
    )
    checkpoint_model: str | None = option(
        None,
        "which checkpoint of it (default: <Model>_finished); or the path of a file of weights of another project, "
        ".pth, .pt, .pth.tar, .ckpt or .safetensors, for the network of --model",
        pattern=FREE_TEXT,
        metavar="NAME",
        is_path=True,
    )
    partial_checkpoint: bool = option(False, "of such a file load what fits, and leave the rest at its initialisation")
    resume: str | None = option(
        None,
        "go on with this interrupted run, under its own arguments: a run folder's name, a path, or latest",
        pattern=FREE_TEXT,
        metavar="RUN",
        changes_numbers=False,
    )
    resume_anyway: bool = option(
        False,
        "beside --resume: go on although code, data, versions, device or threads are not what the run began with",
        changes_numbers=False,
        on_resume=True,
    )
    force_train: bool = option(
        False,
        "train again what a tester tests that trains its network, even if a run of the same settings is there",
        changes_numbers=False,
    )


class MachineOptions(Section):
    """What a run computes on, and how."""

    title = "machine"

    device: str = option(
        "auto",
        "auto, cpu, cuda, cuda:N or mps",
        pattern=(r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, cuda, cuda:N or mps"),
        metavar="NAME",
        changes_numbers=False,
        on_resume=True,
    )
    precision: str = option(
        "float32",
        "float32, bf16 or fp16 by autocast; auto takes bf16 where it is faster here, and records what it took",
        choices=("float32", "bf16", "fp16", "auto"),
        metavar="TYPE",
    )
    execution: str = option(
        "dense",
        "how float32 networks run on CPUs: dense; sparse, without the zeros of layers that keep at most 35 % of their "
        "weights; or auto, each layer in the way that is the fastest on this machine",
        choices=("dense", "sparse", "auto"),
        metavar="WAY",
    )
    compile: bool = option(
        False, "run the training steps through torch.compile", changes_numbers=False, only_training=True
    )
    channels_last: bool = option(False, "lay images out as (N, H, W, C) in memory", changes_numbers=False)
    deterministic: bool = option(
        False, "use deterministic operations only (a run on a CPU always does)", changes_numbers=False
    )
    disable_cuda_benchmark: bool = option(
        False, "let cuDNN choose its algorithms without trying them out first", changes_numbers=False
    )
    disable_plugin: list[str] | None = option(
        None,
        "leave these installed plugins out, without importing them: A,B",
        metavar="NAMES",
        changes_numbers=False,
        on_resume=True,
        smoke=KEEP,
    )
