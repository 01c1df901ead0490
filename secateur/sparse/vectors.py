"""What numba's loops lack, as LLVM instructions: sums that stay in registers while a list of weights is walked.

Plain loops of numba are 5 to 10 times slower, because their sums go through memory. A vector is 16 floats; LLVM splits
it where a machine's registers are smaller. Addresses are int64, offsets are in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: Floats of a vector, which are as many images of a block.
LANES = 16
#: Bytes of a vector.
WIDE = 4 * LANES

FLOAT, INT, SHORT = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(FLOAT, LANES)


def most_columns() -> int:
    """How many vectors of sums stay in registers beside what multiplies them."""
    features = binding.get_host_cpu_features()
    return 8 if features.get("avx512f") or features.get("neon") else 6


def load(builder: ir.IRBuilder, address: ir.Value, of: ir.Type = _VECTOR) -> ir.Value:
    """Emit the reading of what is at an address, by default a vector."""
    loaded = builder.load(builder.inttoptr(address, of.as_pointer()))
    loaded.align = 4  # a plane of one image is read from anywhere
    return loaded


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 4


def _spread(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """The number in all lanes."""
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.Constant(SHORT, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(SHORT, LANES), [0] * LANES))


def _plus(builder: ir.IRBuilder, address: ir.Value, offset: int) -> ir.Value:
    return builder.add(address, ir.Constant(INT, offset)) if offset else address


def _multiply_add(builder: ir.IRBuilder, left: ir.Value, right: ir.Value, sum_: ir.Value) -> ir.Value:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    multiply = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
    return builder.call(multiply, [left, right, sum_])


def _walk(
    builder: ir.IRBuilder,
    offsets: ir.Value,
    count: ir.Value,
    state: list,
    step: Callable[[ir.Value, ir.Value, list], list],
) -> list:
    """Go through `count` offsets, int32 at `offsets`: `step(number, offset, state)` returns the next state.

    Returns the last state.
    """
    before = builder.block
    loop, end = builder.append_basic_block("walk"), builder.append_basic_block("walked")
    builder.cbranch(builder.icmp_signed(">", count, ir.Constant(INT, 0)), loop, end)
    builder.position_at_end(loop)
    number = builder.phi(INT)
    number.add_incoming(ir.Constant(INT, 0), before)
    held = []
    for value in state:
        held.append(builder.phi(value.type))
        held[-1].add_incoming(value, before)
    offset = builder.zext(load(builder, builder.add(offsets, builder.shl(number, ir.Constant(INT, 2))), SHORT), INT)
    following = step(number, offset, held)
    further = builder.add(number, ir.Constant(INT, 1))
    last = builder.block
    number.add_incoming(further, last)
    for phi, value in zip(held, following, strict=True):
        phi.add_incoming(value, last)
    builder.cbranch(builder.icmp_signed("<", further, count), loop, end)
    builder.position_at_end(end)
    found = []
    for start, value in zip(state, following, strict=True):
        found.append(builder.phi(value.type))
        found[-1].add_incoming(start, before)
        found[-1].add_incoming(value, last)
    return found


def _for_each_width(builder: ir.IRBuilder, columns: ir.Value, emit: Callable[[int], None]) -> None:
    """Emit the code for each number of columns that registers hold, and choose among them by `columns`."""
    end = builder.append_basic_block("chosen")
    choice = builder.switch(columns, end)
    for width in range(1, most_columns() + 1):
        block = builder.append_basic_block(f"columns{width}")
        choice.add_case(ir.Constant(INT, width), block)
        builder.position_at_end(block)
        emit(width)
        builder.branch(end)
    builder.position_at_end(end)


@intrinsic
def products(
    typing: Any,
    columns: Any,
    inputs: Any,
    offsets: Any,
    weights: Any,
    count: Any,
    start: Any,
    low: Any,
    outputs: Any,
    step: Any,
    added: Any,
) -> Any:
    """Compute neighbouring vectors of one output channel, at most `most_columns()`.

    Each is `start` plus the sum over the list of weight times the vector at `inputs + offset`, plus the one at `added`
    where that is not 0, and at least `low`. They are stored `step` bytes apart, and so are those at `added`.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        columns, inputs, offsets, weights, count, start, low, outputs, step, added = arguments
        first, floor = _spread(builder, start), _spread(builder, low)

        def emit_width(width: int) -> None:
            def one(number: ir.Value, offset: ir.Value, sums: list) -> list:
                at = builder.add(weights, builder.shl(number, ir.Constant(INT, 2)))
                weight = _spread(builder, load(builder, at, FLOAT))
                vectors = builder.add(inputs, offset)
                return [
                    _multiply_add(builder, load(builder, _plus(builder, vectors, WIDE * column)), weight, held)
                    for column, held in enumerate(sums)
                ]

            sums = _walk(builder, offsets, count, [first] * width, one)
            steps = [builder.mul(step, ir.Constant(INT, column)) for column in range(width)]
            plain, more, end = builder.block, builder.append_basic_block("add"), builder.append_basic_block("end")
            builder.cbranch(builder.icmp_signed("!=", added, ir.Constant(INT, 0)), more, end)
            builder.position_at_end(more)
            raised = [
                builder.fadd(held, load(builder, builder.add(added, at))) for held, at in zip(sums, steps, strict=True)
            ]
            builder.branch(end)
            builder.position_at_end(end)
            results = []
            for held, other in zip(sums, raised, strict=True):
                results.append(builder.phi(_VECTOR))
                results[-1].add_incoming(held, plain)
                results[-1].add_incoming(other, more)
            for held, at in zip(results, steps, strict=True):
                below = builder.fcmp_ordered("<", held, floor)  # NaN is not below anything, and stays
                _store(builder, builder.select(below, floor, held), builder.add(outputs, at))

        _for_each_width(builder, columns, emit_width)
        return context.get_dummy_value()

    whole, number = types.int64, types.float32
    return types.void(whole, whole, whole, whole, whole, number, number, whole, whole, whole), emit


@intrinsic
def inner_products(
    typing: Any, columns: Any, inputs: Any, offsets: Any, sums: Any, count: Any, gradients: Any, step: Any
) -> Any:
    """Add to the gradient of each weight of a list what neighbouring vectors contribute, at most `most_columns()`.

    To each number of `sums`, float32, is added the sum over columns and lanes of the vector at `inputs + offset` times
    the one at `gradients`; these are `step` bytes apart.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        columns, inputs, offsets, sums, count, gradients, step = arguments
        kind = ir.FunctionType(FLOAT, [FLOAT, _VECTOR])
        reduce = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32")

        def emit_width(width: int) -> None:
            held = [
                load(builder, builder.add(gradients, builder.mul(step, ir.Constant(INT, column))))
                for column in range(width)
            ]

            def one(number: ir.Value, offset: ir.Value, _: list) -> list:
                vectors = builder.add(inputs, offset)
                parts: list = [None, None]  # two sums, so that one need not wait for the other
                for column in range(width):
                    vector = load(builder, _plus(builder, vectors, WIDE * column))
                    part = parts[column % 2]
                    parts[column % 2] = (
                        builder.fmul(vector, held[column])
                        if part is None
                        else _multiply_add(builder, vector, held[column], part)
                    )
                total = parts[0] if width == 1 else builder.fadd(*parts)
                at = builder.add(sums, builder.shl(number, ir.Constant(INT, 2)))
                more = builder.call(reduce, [ir.Constant(FLOAT, 0.0), total], fastmath=("reassoc",))
                _store(builder, builder.fadd(load(builder, at, FLOAT), more), at)
                return []

            _walk(builder, offsets, count, [], one)

        _for_each_width(builder, columns, emit_width)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), emit


@intrinsic
def move(typing: Any, source: Any, source_step: Any, target: Any, target_step: Any, count: Any) -> Any:
    """Copy `count` vectors that are `source_step` bytes apart to where they are `target_step` bytes apart."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        source, source_step, target, target_step, count = arguments
        with cgutils.for_range(builder, count) as loop:
            vector = load(builder, builder.add(source, builder.mul(source_step, loop.index)))
            _store(builder, vector, builder.add(target, builder.mul(target_step, loop.index)))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), emit


@intrinsic
def finish_row(typing: Any, source: Any, added: Any, low: Any, target: Any, count: Any) -> Any:
    """Copy `count` floats, plus those at `added` where that is not 0, and at least `low`."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        source, added, low, target, count = arguments
        adds = builder.icmp_signed("!=", added, ir.Constant(INT, 0))

        def loop(kind: ir.Type, first: ir.Value, last: ir.Value, floor: ir.Value, width: int) -> None:
            with cgutils.for_range(builder, builder.sub(last, first)) as part:
                at = builder.mul(builder.add(part.index, first), ir.Constant(INT, 4 * width))
                value = cgutils.alloca_once_value(builder, load(builder, builder.add(source, at), kind))
                with builder.if_then(adds):
                    more = load(builder, builder.add(added, at), kind)
                    builder.store(builder.fadd(builder.load(value), more), value)
                found = builder.load(value)
                below = builder.fcmp_ordered("<", found, floor)
                _store(builder, builder.select(below, floor, found), builder.add(target, at))

        whole = builder.sdiv(count, ir.Constant(INT, LANES))
        loop(_VECTOR, ir.Constant(INT, 0), whole, _spread(builder, low), LANES)
        loop(FLOAT, builder.mul(whole, ir.Constant(INT, LANES)), count, low, 1)
        return context.get_dummy_value()

    whole, number = types.int64, types.float32
    return types.void(whole, whole, number, whole, whole), emit
