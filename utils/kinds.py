"""The kinds of component."""

#: Folder -> (what one is called, where its base class lives).
KINDS = {
    "criterions": ("criterion", "utils.pruning.criterion:Criterion"),
    "models": ("network", "torch.nn:Module"),
    "trainers": ("trainer", "trainers.DefaultTrainer:DefaultTrainer"),
    "testers": ("tester", "testers.DefaultTester:DefaultTester"),
    "losses": ("loss", "utils.training.loss:Loss"),
    "data_sets": ("data set", "utils.data.data_set:DataSet"),
}
