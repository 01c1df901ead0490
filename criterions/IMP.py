"""Magnitude pruning in rounds: lottery tickets."""

from secateur.criterions.Magnitude import Magnitude


class IMP(Magnitude):
    """Iterative magnitude pruning (Frankle and Carbin, 2019, "The Lottery Ticket Hypothesis", section 2).

    Rounds of `--prune_freq` epochs after `--prune_delay`; at the end of each the same share of the remaining weights
    goes, the smallest. With `--enable_rewinding` the others then go back to what they were after `--rewind_to` epochs,
    with their optimizer and learning-rate schedule (Frankle et al., 2020, "Linear Mode Connectivity", section 4).
    `--prune_schedule snip_it` takes SNIP-it's steps instead, as its program does.
    """

    schedule = "exponential"
    timing = "rounds"
