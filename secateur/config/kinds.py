"""The kinds of component."""

#: Folder -> (what one is called, where its base class lives).
KINDS = {
    "criterions": ("criterion", "secateur.pruning.criterion:Criterion"),
    "models": ("network", "torch.nn:Module"),
    "trainers": ("trainer", "secateur.trainers.DefaultTrainer:DefaultTrainer"),
    "testers": ("tester", "secateur.testers.DefaultTester:DefaultTester"),
    "lr_schedules": ("learning-rate schedule", "secateur.training.lr_schedule:LearningRateSchedule"),
    "losses": ("loss", "secateur.training.loss:Loss"),
    "data_sets": ("data set", "secateur.data.data_set:DataSet"),
}
