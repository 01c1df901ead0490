"""Settings of every trainer. Free of torch."""

from __future__ import annotations

from secateur.config.option import FREE_TEXT, Configurable, option


class TrainingOptions(Configurable):
    """How long, by which steps and how often it looks."""

    title = "training"

    epochs: int = option(80, "epochs of training", low=0, high=1_000_000, also=("post_epochs",), smoke=4)
    pre_epochs: int = option(0, "train this long before the first pruning; --epochs follow", low=0, smoke=1)
    optimizer_name: str = option(
        "ADAM",
        "ADAM, SGD, NESTEROV (SGD with Nesterov's momentum), RMSPROP or any class of torch.optim",
        flag="optimizer",
        metavar="NAME",
        check="secateur.training.optimizers:check_optimizer",
    )
    learning_rate: float = option(2e-3, "step size of the optimizer", low=0, above=True, metavar="RATE")
    lr_schedule: str = option(
        "constant",
        "a class in lr_schedules/ or of a plugin: constant, cosine, onecycle, linear:0.2 or steps:60,120x0.1",
        names="lr_schedules",
        pattern=FREE_TEXT,
        metavar="SCHEDULE",
    )
    l2_reg: float = option(5e-5, "weight decay", low=0, metavar="FACTOR")
    grad_clip: float = option(10.0, "largest norm of the gradient; 0 switches clipping off", low=0, metavar="NORM")
    grad_noise: float = option(0.0, "standard deviation of noise on the gradient", low=0, metavar="STD")
    lookahead: int = option(
        0, "let slow weights follow half of the way after so many steps, and go on from there; 0: none", low=0
    )
    train_sizes: list[int] | None = option(
        None,
        "height and width of training images in equal parts of the epochs, as 16 24 32 (default: their own)",
        low=4,
        high=4096,
        metavar="PIXELS",
        words="+",
    )
    max_training_minutes: float = option(
        0.0, "stop cleanly after so long; 0: never", low=0, on_resume=True, metavar="MINUTES"
    )
    eval_freq: int = option(1, "test so often; 0: only at the end", low=0, changes_numbers=False, metavar="EPOCHS")
    keep_best: bool = option(
        False,
        "keep the network of the epoch that was best on held-out training images (--num_valid), not of the last",
        only_training=True,
    )
    save_freq: int = option(
        0,
        "keep a checkpoint so often; 0: only before pruning and at the end",
        low=0,
        changes_numbers=False,
        on_resume=True,
        metavar="EPOCHS",
    )
    save_minutes: float = option(
        0.5,
        "write what --resume goes on from so often, after an epoch; 0: after each",
        low=0,
        changes_numbers=False,
        on_resume=True,
        metavar="MINUTES",
    )
