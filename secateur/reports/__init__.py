"""One page from many runs: reads their folders, groups them, compares, draws and writes. Free of torch."""
