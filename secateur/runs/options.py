"""Settings of a run as a whole: what it is, where it leaves its results, what it computes on. Free of torch."""

from __future__ import annotations

from pathlib import Path

from secateur.config.option import FREE_TEXT, KEEP, Section, option


class RunOptions(Section):
    """What kind of run it is, and what it leaves."""

    title = "run and results"

    seed: int = option(
        333,
        "random seed",
        low=0,
        high=4_294_967_295,
        common="where and what to keep",
        suggested_for="random_seed manual_seed random_state rng",
    )
    run_name: str = option(
        "",
        "name of the run; it ends the name of the run folder",
        pattern=FREE_TEXT,
        also=("expid", "experiment_id"),
        changes_numbers=False,
        common="where and what to keep",
        suggested_for="name exp_name experiment_name exp tag run_id",
    )
    results_dir: Path | None = option(
        None,
        "folder for run folders (default: gitignored/results)",
        also=("output_dir",),
        is_path=True,
        changes_numbers=False,
        common="where and what to keep",
        suggested_for="output out outdir save_dir save_path log_dir logdir result_dir work_dir",
    )
    components: Path | None = option(
        None,
        "folder of your own criterions/, models/, ..., searched as well (default: the current folder)",
        is_path=True,
        changes_numbers=False,
        suggested_for="plugin_dir user_dir",
    )
    control: str | None = option(
        None,
        "for reports: which control this run is, as --controls sets it",
        choices=("same_parameters", "same_flops", "same_densities", "shuffled", "reinitialised"),
        metavar="NAME",
        changes_numbers=False,
        only_training=True,
    )
    control_of: str | None = option(
        None,
        "for reports: the run of a grid that it is a control of, by the end of its folder's name",
        pattern=(r"_[0-9a-f]{8}", "the end of a folder's name, as _0123abcd"),
        metavar="_KEY",
        changes_numbers=False,
        only_training=True,
    )
    smoke: bool = option(
        False,
        "quick trial of a command; a few images (synthetic if the data set is missing), epochs and runs of a grid",
        common="continue, evaluate, compare",
        suggested_for="debug fast_dev_run quick dry test_run",
    )
    no_compact: bool = option(
        False,
        "do not save <Model>_compact, the network without the channels that it does not need",
        changes_numbers=False,
        only_training=True,
        smoke=True,
    )
    latency: bool = option(
        False,
        "measure the latency beside the dense network's; runs that remove channels always do",
        changes_numbers=False,
        suggested_for="benchmark profile throughput speed",
    )
    export: list[str] | None = option(
        None,
        "export the finished network as onnx (needs the packages onnx and onnxscript), torch_export or both: A,B",
        choices=("onnx", "torch_export"),
        metavar="FORMATS",
        changes_numbers=False,
        smoke=KEEP,
        suggested_for="onnx save_onnx export_onnx",
    )


class CheckpointOptions(Section):
    """Which network a run starts from."""

    title = "checkpoints"

    eval: bool = option(
        False,
        "evaluate a checkpoint instead of training; its network and data set need not be named",
        changes_numbers=False,
        common="continue, evaluate, compare",
        suggested_for="evaluate test eval_only test_only inference validate",
    )
    checkpoint_name: str | None = option(
        None,
        "start from a checkpoint of this run: a folder's name, a path or latest; with --eval, A,B,C compares several",
        pattern=FREE_TEXT,
        metavar="RUN",
        is_path=True,
        common="continue, evaluate, compare",
        suggested_for="ckpt checkpoint load load_from pretrained restore init_from",
    )
    checkpoint_model: str | None = option(
        None,
        "which checkpoint of the run (default: <Model>_finished); or the path of another project's weights, .pth, "
        ".pt, .pth.tar, .ckpt or .safetensors, for the network of --model",
        pattern=FREE_TEXT,
        metavar="NAME",
        is_path=True,
        suggested_for="weights model_path weights_path ckpt_path checkpoint_path state_dict",
    )
    partial_checkpoint: bool = option(
        False, "load the weights of such a file that fit; the others keep their initialisation"
    )
    resume: str | None = option(
        None,
        "continue an interrupted run with its own arguments: a folder's name, a path or latest",
        pattern=FREE_TEXT,
        metavar="RUN",
        changes_numbers=False,
        common="continue, evaluate, compare",
        suggested_for="resume_from continue restart",
    )
    resume_anyway: bool = option(
        False,
        "with --resume: continue although code, data, versions, device or threads have changed since the run began",
        changes_numbers=False,
        on_resume=True,
    )
    force_train: bool = option(
        False,
        "with testers that train their network: train it again, even if a run with the same settings exists",
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
        common="where and what to keep",
        suggested_for="cuda gpu gpus cpu no_cuda use_cuda gpu_id accelerator",
    )
    precision: str = option(
        "float32",
        "float32, or bf16 or fp16 by autocast; auto: bf16 if it is faster here, and the choice is recorded",
        choices=("float32", "bf16", "fp16", "auto"),
        metavar="TYPE",
        suggested_for="amp fp16 bf16 half dtype mixed_precision use_amp",
    )
    execution: str = option(
        "dense",
        "how float32 networks run on CPUs: dense; sparse, which skips the zeros of layers that keep at most 35 % of "
        "their weights; or auto, for each layer what is fastest on this machine",
        choices=("dense", "sparse", "auto"),
        metavar="WAY",
        suggested_for="sparse sparse_execution backend",
    )
    compile: bool = option(
        False,
        "compile the training step with torch.compile",
        changes_numbers=False,
        only_training=True,
        suggested_for="torch_compile",
    )
    channels_last: bool = option(False, "store images as (N, H, W, C) in memory", changes_numbers=False)
    deterministic: bool = option(
        False,
        "use deterministic operations only; a run on a CPU always does",
        changes_numbers=False,
        suggested_for="cudnn_deterministic reproducible",
    )
    disable_cuda_benchmark: bool = option(
        False, "do not let cuDNN time its algorithms before it chooses", changes_numbers=False
    )
    disable_plugin: list[str] | None = option(
        None,
        "do not import these installed plugins: A,B",
        metavar="NAMES",
        changes_numbers=False,
        on_resume=True,
        smoke=KEEP,
        suggested_for="no_plugin",
    )
