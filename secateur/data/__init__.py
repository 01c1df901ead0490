"""Data: what a data set is, and how its images become batches on the device."""
