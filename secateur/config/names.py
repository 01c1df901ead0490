"""Which components a run consists of."""

from __future__ import annotations

from secateur.config.option import Section, option

#: Which flag names a component of which kind.
NAMED_BY = {
    "model": "models",
    "data_set": "data_sets",
    "prune_criterion": "criterions",
    "loss": "losses",
    "train_scheme": "trainers",
    "test_scheme": "testers",
}


class ComponentNames(Section):
    """The classes of a run, by name."""

    title = "what a run consists of"

    model: str = option(
        "ResNet18",
        "network: a class in models/ or of a plugin, torchvision:NAME or timm:NAME",
        metavar="NAME",
        common="what to train",
        suggested_for="arch architecture network net backbone model_name",
    )
    data_set: str = option(
        "DIGITS",
        "data set: a class in data_sets/ or of a plugin; DIGITS needs no download",
        metavar="NAME",
        also=("dataset",),
        common="what to train",
        suggested_for="data dataset_name task",
    )
    prune_criterion: str = option(
        "EmptyCrit",
        "criterion: a class in criterions/ or of a plugin; EmptyCrit prunes nothing",
        metavar="NAME",
        also=("pruner",),
        common="how to prune",
        suggested_for="criterion method pruning_method prune_method pruning_criterion strategy importance prune",
    )
    loss: str = option(
        "CrossEntropy",
        "loss: a class in losses/ or of a plugin",
        metavar="NAME",
        suggested_for="criterion loss_fn loss_function",
    )
    train_scheme: str = option(
        "DefaultTrainer", "trainer: a class in trainers/ or of a plugin", metavar="NAME", suggested_for="trainer"
    )
    test_scheme: str = option(
        "DefaultTester",
        "tester, with --eval: a class in testers/ or of a plugin",
        metavar="NAME",
        changes_numbers=False,
        suggested_for="tester",
    )
    l0: bool = option(False, "the same as --train_scheme L0Trainer", stands_for=("train_scheme", "L0Trainer"))
    hoyer_square: bool = option(
        False, "the same as --prune_criterion HoyerSquare", stands_for=("prune_criterion", "HoyerSquare")
    )
    group_hoyer_square: bool = option(
        False, "the same as --prune_criterion GroupHoyerSquare", stands_for=("prune_criterion", "GroupHoyerSquare")
    )
