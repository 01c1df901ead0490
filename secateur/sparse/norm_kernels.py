"""Batch norm of blocks of images while it trains, with an addition and ReLU: a channel is read from memory once.

A thread takes a channel at a time: all its blocks, of `width` floats each, which stay in its cache from the sum to the
result. See `kernels` for what a job is.
"""

from __future__ import annotations

import math

import numpy as np
from numba import carray, njit

from secateur.sparse.addresses import as_pointer, read_float32, take_number

# Sums may be taken in any order, which vectors need.
_vectorised = njit(fastmath={"reassoc", "contract"})


@_vectorised
def _sum(values):  # noqa: ANN001, ANN202
    total = np.float32(0)
    for value in values:
        total += value
    return total


@_vectorised
def _sum_of_squares(values, mean):  # noqa: ANN001, ANN202
    total = np.float32(0)
    for value in values:
        total += (value - mean) * (value - mean)
    return total


@_vectorised
def _finish(values, mean, scale, shift, low, results):  # noqa: ANN001, ANN202
    for at in range(len(values)):
        result = (values[at] - mean) * scale + shift
        results[at] = low if result < low else result


@_vectorised
def _finish_sum(values, added, mean, scale, shift, low, results):  # noqa: ANN001, ANN202
    for at in range(len(values)):
        result = (values[at] - mean) * scale + shift + added[at]
        results[at] = low if result < low else result


@_vectorised
def _sums_of_gradients(gradients, values, outputs, mean, low):  # noqa: ANN001, ANN202
    total, product = np.float32(0), np.float32(0)
    for at in range(len(values)):
        gradient = np.float32(0) if outputs[at] <= low else gradients[at]
        total += gradient
        product += gradient * (values[at] - mean)
    return total, product


@_vectorised
def _finish_gradients(gradients, values, outputs, mean, low, scale, first, second, results):  # noqa: ANN001, ANN202
    for at in range(len(values)):
        gradient = np.float32(0) if outputs[at] <= low else gradients[at]
        results[at] = scale * (gradient - first - (values[at] - mean) * second)


@_vectorised
def _pass_on(gradients, outputs, low, results):  # noqa: ANN001, ANN202
    for at in range(len(outputs)):
        results[at] = np.float32(0) if outputs[at] <= low else gradients[at]


def normalise(pointer):  # noqa: ANN001, ANN201
    """Outputs from inputs, `gamma`, `beta` and what is `added`; writes means and (biased) variances of the channels."""
    job = carray(pointer, 1)[0]
    count = job.blocks * job.width
    low = np.float32(0) if job.relu else np.float32(-np.inf)
    while True:
        channel = take_number(job.here + 8)
        if channel >= job.tasks:
            break
        start = channel * job.in_channel
        total = 0.0
        for block in range(job.blocks):
            total += _sum(carray(as_pointer(job.inputs + start + block * job.in_block), job.width))
        mean = np.float32(total / count)
        total = 0.0
        for block in range(job.blocks):
            total += _sum_of_squares(carray(as_pointer(job.inputs + start + block * job.in_block), job.width), mean)
        variance = np.float32(total / count)
        carray(as_pointer(job.means), job.tasks)[channel] = mean
        carray(as_pointer(job.variances), job.tasks)[channel] = variance
        gamma = read_float32(job.gamma + 4 * channel) if job.gamma else np.float32(1)
        shift = read_float32(job.beta + 4 * channel) if job.beta else np.float32(0)
        scale = np.float32(gamma / math.sqrt(variance + read_float32(job.eps)))
        for block in range(job.blocks):
            at = start + block * job.in_block
            values = carray(as_pointer(job.inputs + at), job.width)
            results = carray(as_pointer(job.outputs + at), job.width)
            if job.added:
                added = carray(as_pointer(job.added + at), job.width)
                _finish_sum(values, added, mean, scale, shift, low, results)
            else:
                _finish(values, mean, scale, shift, low, results)


def normalise_backward(pointer):  # noqa: ANN001, ANN201
    """Gradients of the inputs, to `results`; of gamma and beta, to `weights` and `bias`; of what was `added`."""
    job = carray(pointer, 1)[0]
    count = job.blocks * job.width
    low = np.float32(0) if job.relu else np.float32(-np.inf)
    while True:
        channel = take_number(job.here + 8)
        if channel >= job.tasks:
            break
        start = channel * job.in_channel
        mean = read_float32(job.means + 4 * channel)
        inverse = 1 / math.sqrt(read_float32(job.variances + 4 * channel) + read_float32(job.eps))
        total, product = 0.0, 0.0
        for block in range(job.blocks):
            at = start + block * job.in_block
            gradients = carray(as_pointer(job.gradients + at), job.width)
            values = carray(as_pointer(job.inputs + at), job.width)
            outputs = carray(as_pointer(job.outputs + at), job.width)
            more = _sums_of_gradients(gradients, values, outputs, mean, low)
            total += more[0]
            product += more[1]
        carray(as_pointer(job.weights), job.tasks)[channel] = product * inverse
        carray(as_pointer(job.bias), job.tasks)[channel] = total
        gamma = read_float32(job.gamma + 4 * channel) if job.gamma else np.float32(1)
        scale, first = np.float32(gamma * inverse), np.float32(total / count)
        second = np.float32(product * inverse * inverse / count)
        for block in range(job.blocks):
            at = start + block * job.in_block
            gradients = carray(as_pointer(job.gradients + at), job.width)
            values = carray(as_pointer(job.inputs + at), job.width)
            outputs = carray(as_pointer(job.outputs + at), job.width)
            results = carray(as_pointer(job.results + at), job.width)
            _finish_gradients(gradients, values, outputs, mean, low, scale, first, second, results)
            if job.added:
                _pass_on(gradients, outputs, low, carray(as_pointer(job.added + at), job.width))
