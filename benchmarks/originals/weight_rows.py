"""Rows of criteria of weights that are scored at once or in steps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator

import torch

from originals import weights
from originals.bench import CHAOS, COUNTED, NO_SOFTMAX, SAME, Bench, Row, ours
from originals.program import Found


def of_weights(
    bench: Bench,
    label: str,
    program: str,
    networks: str,
    why: str,
    call: Callable[..., Found],
    *arguments: object,
    **options: object,
) -> Iterator[Row]:
    """Rows of a criterion of weights, on each of the networks."""
    criterion = label.split()[0].rstrip(",")
    for name in networks.split():
        network, batch = bench.network(name), bench.batches(name)[0]
        yield bench.row(
            label,
            program,
            name,
            why,
            functools.partial(call, bench.originals, network, batch, *arguments),
            functools.partial(ours, network, criterion, [batch], **options),
        )


def snip(bench: Bench) -> Iterator[Row]:
    """SNIP in one step, beside three programs."""
    all_four = "LeNet300 LeNet5 ResNet20 VGG16"
    logits = {"saliency_loss": "nll_on_logits"}
    why = f"{SAME}; that the program draws the weights anew is left out here"
    yield from of_weights(bench, "SNIP --score_mode train", "snip", all_four, why, weights.snip, score_mode="train")
    why = "norms take the statistics of the batch there, here the running ones, as with SNIP's authors (TensorFlow)"
    yield from of_weights(bench, "SNIP", "snip", "ResNet20 VGG16", why, weights.snip)
    label = "SNIP --saliency_loss nll_on_logits"
    yield from of_weights(bench, label, "SNIP-it", all_four, SAME, weights.snip_it, "SNIP", **logits)
    yield from of_weights(bench, "SNIP", "SNIP-it", "LeNet5 ResNet20", NO_SOFTMAX, weights.snip_it, "SNIP")
    yield from of_weights(bench, "SNIP", "Synaptic-Flow", all_four, SAME, weights.synaptic_flow, "SNIP", 1)


def steps(bench: Bench) -> Iterator[Row]:
    """Criteria of several steps: SNIP-it, iterated SNIP, FORCE, SynFlow, IMP."""
    logits = {"saliency_loss": "nll_on_logits"}
    label, both = "SNIPit --saliency_loss nll_on_logits", "LeNet300 LeNet5 ResNet20"
    yield from of_weights(bench, label, "SNIP-it", both, CHAOS, weights.snip_it, "SNIPit", **logits)
    one_less = {"count": lambda keep: int(keep) - 1}
    why = "the program adds five times a fifth of the loss: the last bits of the scores"
    yield from of_weights(bench, label + COUNTED, "SNIP-it", both, why, weights.snip_it, "SNIPit", **logits, **one_less)
    ten = {"schedule": "exponential", "snip_steps": 10, "score_mode": "train", **logits}
    label = "SNIP --prune_schedule exponential --snip_steps 10 --score_mode train --saliency_loss nll_on_logits"
    both = "LeNet300 ResNet20"
    yield from of_weights(bench, label, "force", both, CHAOS, weights.force, 1, 10, **ten)
    yield from of_weights(bench, label + COUNTED, "force", both, SAME, weights.force, 1, 10, count=int, **ten)


def flow(bench: Bench) -> Iterator[Row]:
    """FORCE, SynFlow, and magnitudes."""
    both, logits = "LeNet300 ResNet20", {"saliency_loss": "nll_on_logits"}
    short = {"snip_steps": 20}
    label = "FORCE --snip_steps 20 --saliency_loss nll_on_logits"
    yield from of_weights(bench, label, "force", both, CHAOS, weights.force, 3, 20, **logits, **short)
    why = (
        f"{SAME}, and where scores at the threshold are equal: the program keeps all of them, as two in step 14 of "
        "ResNet20 at 0.9, up to which all scores are the same to the last bit"
    )
    yield from of_weights(
        bench, label + COUNTED, "force", both, why, weights.force, 3, 20, count=int, **logits, **short
    )
    yield from of_weights(bench, "FORCE --snip_steps 20", "force", both, NO_SOFTMAX, weights.force, 3, 20, **short)
    both, hundred = "LeNet5 ResNet20", ("SynFlow", 100)
    yield from of_weights(bench, "SynFlow", "Synaptic-Flow", both, CHAOS, weights.synaptic_flow, *hundred)
    label = "SynFlow" + COUNTED
    yield from of_weights(bench, label, "Synaptic-Flow", both, SAME, weights.synaptic_flow, *hundred, count=math.ceil)
    why = "nothing"
    yield from of_weights(bench, "Magnitude", "Synaptic-Flow", "ResNet20 VGG16", why, weights.synaptic_flow, "Mag", 1)
    yield from of_weights(
        bench,
        "IMP --prune_schedule snip_it",
        "SNIP-it",
        "LeNet300 ResNet20",
        why,
        weights.snip_it,
        "IMP",
        schedule="snip_it",
    )


def grasp(bench: Bench) -> Iterator[Row]:
    """GRASP beside three programs."""
    for name in ("LeNet5", "ResNet20", "VGG16"):
        network, loader = bench.network(name), bench.batches(name)
        _, halves = weights.grasp(bench.originals, network, loader, 0.9)
        whole = [tuple(torch.cat(parts) for parts in zip(*halves, strict=True))]
        for label, batches, why, options in (
            ("GRASP, on the program's two halves", halves, SAME, {}),
            ("GRASP --samples_per_class 10", whole, "there norms see classes 0 to 4 and 5 to 9 apart", {}),
            ("GRASP --score_mode eval", whole, "norms take the running statistics here", {"score_mode": "eval"}),
        )[: 1 if name == "LeNet5" else 3]:  # which has no norms
            yield bench.row(
                label,
                "GraSP",
                name,
                why,
                lambda sparsity, n=network, images=loader: weights.grasp(bench.originals, n, images, sparsity)[0],
                functools.partial(ours, network, "GRASP", batches, **options),
            )
    label = "GRASP --score_mode eval"
    yield from of_weights(
        bench, label, "Synaptic-Flow", "LeNet5 ResNet20", SAME, weights.synaptic_flow, "GraSP", 1, score_mode="eval"
    )
    why = "it keeps what the paper removes; the product is made of parts of 20 images"
    yield from of_weights(
        bench,
        label + " --invert_scores",
        "SNIP-it",
        "LeNet5 ResNet20",
        why,
        weights.snip_it,
        "GRASP",
        score_mode="eval",
        invert_scores=True,
    )
