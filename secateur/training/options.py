"""Settings of every trainer. Free of torch."""

from __future__ import annotations

from secateur.config.option import FREE_TEXT, Configurable, option


class TrainingOptions(Configurable):
    """How long, by which steps and how often it looks."""

    title = "training"

    epochs: int = option(
        80,
        "epochs of training",
        low=0,
        high=1_000_000,
        also=("post_epochs",),
        smoke=4,
        common="how to train",
        suggested_for="num_epochs n_epochs nb_epochs max_epochs train_epochs epoch",
    )
    pre_epochs: int = option(
        0,
        "epochs of training before the first pruning; --epochs follow",
        low=0,
        smoke=1,
        suggested_for="pretrain_epochs",
    )
    optimizer_name: str = option(
        "ADAM",
        "ADAM, SGD (momentum 0.9), NESTEROV (SGD with Nesterov's momentum), RMSPROP or any class of torch.optim",
        flag="optimizer",
        metavar="NAME",
        check="secateur.training.optimizers:check_optimizer",
        common="how to train",
        suggested_for="opt optim momentum nesterov",
    )
    learning_rate: float = option(
        2e-3,
        "initial learning rate of the optimizer",
        low=0,
        above=True,
        metavar="RATE",
        common="how to train",
        suggested_for="lr base_lr init_lr initial_lr step_size",
    )
    lr_schedule: str = option(
        "constant",
        "constant, cosine, onecycle, linear:0.2 or steps:60,120x0.1; any class in lr_schedules/ or of a plugin",
        names="lr_schedules",
        pattern=FREE_TEXT,
        metavar="SCHEDULE",
        common="how to train",
        suggested_for="scheduler lr_scheduler sched schedule lr_decay gamma milestones lr_drops warmup_epochs",
    )
    l2_reg: float = option(
        5e-5,
        "weight decay",
        low=0,
        metavar="FACTOR",
        suggested_for="weight_decay wd l2 decay",
    )
    grad_clip: float = option(
        10.0,
        "largest norm of the gradient; 0: no clipping",
        low=0,
        metavar="NORM",
        suggested_for="clip clip_grad clip_grad_norm max_grad_norm gradient_clipping max_norm",
    )
    grad_noise: float = option(0.0, "standard deviation of the noise that is added to gradients", low=0, metavar="STD")
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
        suggested_for="progressive_sizes progressive_resizing",
    )
    max_training_minutes: float = option(
        0.0,
        "stop after so many minutes of training; 0: no limit",
        low=0,
        on_resume=True,
        metavar="MINUTES",
        suggested_for="max_time time_limit max_minutes",
    )
    eval_freq: int = option(
        1,
        "epochs between evaluations; 0: only at the end",
        low=0,
        changes_numbers=False,
        metavar="EPOCHS",
        suggested_for="test_freq eval_every eval_interval val_interval log_interval",
    )
    keep_best: bool = option(
        False,
        "keep the network of the best epoch on held-out training images (--num_valid), not that of the last",
        only_training=True,
        suggested_for="save_best best early_stopping patience",
    )
    save_freq: int = option(
        0,
        "epochs between checkpoints; 0: only before pruning and at the end",
        low=0,
        changes_numbers=False,
        on_resume=True,
        metavar="EPOCHS",
        suggested_for="save_every save_interval checkpoint_freq ckpt_interval",
    )
    save_minutes: float = option(
        0.5,
        "minutes between saved states for --resume, each after an epoch; 0: after every epoch",
        low=0,
        changes_numbers=False,
        on_resume=True,
        metavar="MINUTES",
    )
