"""Rows of criteria of channels."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

from torch import nn

import secateur
from originals import channels
from originals.bench import OF_CHANNELS, SAME, Bench, Row, best, ours
from originals.program import Batch, ByLayer, Found


def units(bench: Bench) -> Iterator[Row]:
    """SNAP and CNIP on SNIP-it's own networks."""
    logits = {"saliency_loss": "nll_on_logits", "outer_layer_pruning": False}
    for kind in ("MLP5", "LeNet5"):
        batch = bench.batches(kind)[0]
        network = channels.snip_it_network(bench.originals, kind, batch[0].shape[1:])
        for criterion, why in (
            ("SNAP", SAME),
            ("SNAPit", "the scores agree; a unit more or less in a step, and the next scores follow from that"),
            (
                "CNIP",
                "its ranking counts the network's inputs, of score zero: it removes more units, by their fraction",
            ),
            ("CNIPit", "likewise, and each step aims by the sparsity of the weights alone"),
        ):
            yield bench.row(
                f"{criterion} --saliency_loss nll_on_logits",
                "SNIP-it",
                f"{kind} (SNIP-it's)",
                why,
                functools.partial(channels.snip_it_nodes, bench.originals, network, batch, criterion=criterion),
                functools.partial(ours, network, criterion, [batch], **logits),
                OF_CHANNELS,
            )


def filters(bench: Bench) -> Iterator[Row]:
    """Norms of filters, with neuron merging: what is compared as scores are the tensors that it leaves."""
    network, batch = bench.network("LeNet300"), bench.batches("LeNet300")[0]

    def merged(
        sparsity: float, criterion: str, network: nn.Module = network, batch: Batch = batch, **own: Any
    ) -> Found:
        pruned = copy.deepcopy(network)
        options = {"sparsity": sparsity, "filter_bias": True, "compensate": "merge", "at_once": True, **own}
        options["merge_threshold"] = channels.MERGE_THRESHOLD
        masks: ByLayer = {}
        secateur.Pruner(pruned, criterion, batches=[batch], on_step=lambda step: masks.update(step.masks), **options)
        return Found(dict(pruned.state_dict()), masks)

    for criterion, theirs in (("L1Norm", "l1-norm"), ("L2Norm", "l2-norm"), ("L2GM", "l2-GM")):
        yield bench.row(
            f"{criterion} --filter_bias --compensate merge --merge_threshold {channels.MERGE_THRESHOLD}",
            "neuron-merging",
            "LeNet300",
            SAME,
            functools.partial(channels.merging, bench.originals, network, criterion=theirs),
            functools.partial(merged, network=network, batch=batch, criterion=criterion),
            OF_CHANNELS,
        )
    images = bench.batches("VGG")
    vgg = channels.merging_network(bench.originals, images[:3])
    classifier = {"ignore_layers": ["classifier.0"]}
    yield bench.row(
        f"L1Norm --compensate merge --merge_threshold {channels.MERGE_THRESHOLD}",
        "neuron-merging",
        "VGG-11 (its own)",
        SAME,
        functools.partial(channels.merging_convolutions, bench.originals, vgg, criterion="l1-norm"),
        functools.partial(merged, criterion="L1Norm", network=vgg, batch=images[0], **classifier),
        (0.5,),
    )
    network = channels.snip_it_network(bench.originals, "MLP5", batch[0].shape[1:])
    yield bench.row(
        "EfficientConvNets",
        "SNIP-it",
        "MLP5 (SNIP-it's)",
        "nothing; where the share is no whole number it keeps one unit more",
        functools.partial(channels.snip_it_nodes, bench.originals, network, batch, criterion="EfficientConvNets"),
        functools.partial(ours, network, "EfficientConvNets", [batch]),
        OF_CHANNELS,
    )


def gates(bench: Bench) -> Iterator[Row]:
    """Criteria of gates behind norms; their programs select within training, so that the best are taken here."""
    network, batch = bench.network("VGG11"), bench.batches("VGG11")[0]
    of_a_batch = "of one batch: the program adds up those of an epoch, and leaves each layer a tenth of its channels"
    for label, program, call, why in (
        ("GateDecorators --snip_steps 1", "gate-decorator-pruning", channels.gates, f"{SAME}; {of_a_batch}"),
        ("TaylorFO", "Taylor_pruning", channels.taylor, SAME),
    ):
        scores = call(bench.originals, network, batch)
        criterion, options = label.split()[0], {"snip_steps": 1} if "snip_steps" in label else {}
        yield bench.row(
            label,
            program,
            "VGG11",
            why,
            lambda sparsity, scores=scores: Found(scores, best(scores, sparsity)),
            functools.partial(ours, network, criterion, [batch], **options),
            OF_CHANNELS,
        )
