"""Numbers at addresses, and counters that threads share, as LLVM instructions for numba."""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from secateur.sparse.vectors import FLOAT, INT, SHORT, load

#: How often a thread looks whether others are done before it lets them run, a power of two.
_LOOKS = 4096


@intrinsic
def take_number(typing: Any, counter: Any) -> Any:
    """Return the int64 at this address and add one to it, as one operation among all threads.

    What a thread has written before is there for those that find the number raised.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        at = builder.inttoptr(arguments[0], INT.as_pointer())
        return builder.atomic_rmw("add", at, ir.Constant(INT, 1), "acq_rel")

    return types.int64(types.int64), emit


@intrinsic
def wait_for(typing: Any, counter: Any, number: Any) -> Any:
    """Return once the int64 at this address is at least `number`; lets other threads run where that takes long."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        counter, number = arguments
        at = builder.inttoptr(counter, INT.as_pointer())
        before = builder.block
        look, end = builder.append_basic_block("look"), builder.append_basic_block("done")
        again, rest = builder.append_basic_block("again"), builder.append_basic_block("rest")
        builder.branch(look)
        builder.position_at_end(look)
        looks = builder.phi(INT)
        looks.add_incoming(ir.Constant(INT, 1), before)
        there = builder.icmp_signed(">=", builder.load_atomic(at, "acquire", 8), number)
        builder.cbranch(there, end, again)
        builder.position_at_end(again)
        more = builder.add(looks, ir.Constant(INT, 1))
        long = builder.icmp_signed("==", builder.and_(looks, ir.Constant(INT, _LOOKS - 1)), ir.Constant(INT, 0))
        builder.cbranch(long, rest, look)
        looks.add_incoming(more, again)
        builder.position_at_end(rest)
        if sys.platform != "win32":
            kind = ir.FunctionType(SHORT, [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        builder.branch(look)
        looks.add_incoming(more, rest)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


def _reader(kind: ir.Type, numba_type: Any) -> Any:
    @intrinsic
    def read(typing: Any, address: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            return load(builder, arguments[0], kind)

        return numba_type(types.int64), emit

    return read


#: The number at an address.
read_float32, read_int32 = _reader(FLOAT, types.float32), _reader(SHORT, types.int32)


@intrinsic
def as_pointer(typing: Any, address: Any) -> Any:
    """The address of float32 numbers, for numba's `carray`."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.inttoptr(arguments[0], FLOAT.as_pointer())

    return types.CPointer(types.float32)(types.int64), emit
