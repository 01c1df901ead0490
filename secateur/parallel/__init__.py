"""One run on several processes, which torchrun has started: each has a share of every batch, all have one network."""
