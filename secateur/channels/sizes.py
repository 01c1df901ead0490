"""Where the sizes come from that a network divides dimensions by: attributes, tensors that it has, or its text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from secateur.channels.labels import NONE
from secateur.channels.scales import scaled_queries

if TYPE_CHECKING:
    from secateur.channels.tracing import Trace

#: (name of a module, name of an attribute of it, place in it): a whole number, or one of several.
Attribute = tuple[str, str, int]
#: What sees a tensor in other dimensions of sizes that are given, by name, with the place of the first size.
VIEWS = {"view": 1, "reshape": 1, "unflatten": 2}
DIVIDING = {"split", "split_with_sizes"}
SCALED = "attention is scaled by their number"


class Count(int):
    """A number with its origin: an attribute, a dimension of a tensor, or, where both are None, sums of such."""

    attribute: Attribute | None = None
    axis: tuple[Tensor, int] | None = None
    #: Those that numbers were made of that are none, as roots, by which attention scales.
    roots: ClassVar[list[Count]] = []

    def __add__(self, other: Any) -> Any:
        return _derived(int.__add__(self, other))

    def __sub__(self, other: Any) -> Any:
        return _derived(int.__sub__(self, other))

    def __mul__(self, other: Any) -> Any:
        return _derived(int.__mul__(self, other))

    def __floordiv__(self, other: Any) -> Any:
        return _derived(int.__floordiv__(self, other))

    def __rsub__(self, other: Any) -> Any:
        return _derived(int.__rsub__(self, other))

    def __rfloordiv__(self, other: Any) -> Any:
        return _derived(int.__rfloordiv__(self, other))

    def __pow__(self, other: Any) -> Any:
        self.roots.append(self)
        return int.__pow__(self, other)

    def __float__(self) -> float:
        self.roots.append(self)
        return int.__float__(self)

    __radd__, __rmul__ = __add__, __mul__


def _derived(value: Any) -> Any:
    return Count(value) if type(value) is int else value


class Shape(tuple):
    """The sizes of a tensor, each with its origin."""

    __slots__ = ()

    def numel(self) -> int:
        """How many numbers there are."""
        number = Count(1)
        for size in self:
            number *= size
        return number


def _counted(tensor: Tensor, dim: int) -> Count:
    count = Count(tensor.size(dim))
    count.axis = (tensor, dim)
    return count


class Sizes(TorchFunctionMode):
    """Tells a trace by which sizes tensors are seen in other dimensions, and couples those that have to be equal."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace
        #: Sizes that are computed, and what they count.
        self.computed: list[tuple[int, Tensor]] = []
        Count.roots.clear()

    def hold_scaled(self) -> None:
        """Let what the network takes roots of the number of stay."""
        scaling = {int(size) for size in Count.roots if size.attribute is size.axis is None}
        attributes = {size.attribute for size in Count.roots} & self.trace.counts.keys()
        held = [labels for size, labels in self.computed if size in scaling]
        for labels in (*held, *(self.trace.counts[attribute] for attribute in attributes)):
            self.trace.labels.hold(labels, SCALED)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function; sizes that it returns know their origin, and those that it is given tell it."""
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if getattr(func, "__self__", None) is Tensor.shape or (name == "size" and len(args) + len(kwargs) == 1):
            return Shape(_counted(args[0], dim) for dim in range(args[0].dim()))
        if name == "size":
            return _counted(args[0], kwargs.get("dim", args[-1]) % args[0].dim())
        if (queries := scaled_queries(name, args, kwargs)) is not None:
            self.trace.scaled.append(self.trace.known(queries)[-1])
        if name in ("layer_norm", "rms_norm") and len(args) > 1:
            self._count(args[1], args[0].dim() - len(args[1]), args[0])
        if name in DIVIDING and isinstance(args[0], Tensor):
            return self._divide(func, args, kwargs)
        if name not in VIEWS or not isinstance(args[0], Tensor):
            return func(*args, **kwargs)
        given = kwargs.get("shape", kwargs.get("sizes", kwargs.get("size", args[VIEWS[name] :])))
        given = list(given[0] if len(given) == 1 and isinstance(given[0], Sequence) else given)
        if not all(isinstance(size, int) for size in given):
            return func(*args, **kwargs)
        first = kwargs.get("dim", args[1] if len(args) > 1 else 0) % args[0].dim() if name == "unflatten" else 0
        before = [Count(size) for size in args[0].shape[:first]]
        behind = [Count(size) for size in args[0].shape[first + 1 :]] if name == "unflatten" else []
        self.trace.sizes = [*before, *given, *behind]
        try:
            result = func(*args, **kwargs)
        finally:
            self.trace.sizes = None
        self._count(given, first, result)
        return result

    def _divide(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Cut a tensor: parts whose sizes are all known by their origin may come to be of other sizes."""
        sizes = args[1] if len(args) > 1 else next(iter(kwargs.values()))
        dim = kwargs.get("dim", args[2] if len(args) > 2 else 0)
        self.trace.cuts_follow = not isinstance(sizes, int) and all(isinstance(size, Count) for size in sizes)
        try:
            parts = func(*args, **kwargs)
        finally:
            self.trace.cuts_follow = False
        for size, part in zip([sizes] * len(parts) if isinstance(sizes, int) else sizes, parts, strict=True):
            self._count([size], dim % part.dim(), part)
        return parts

    def _count(self, given: Sequence[int], first: int, result: Tensor) -> None:
        """Note which labels the sizes count that were given."""
        for dim, size in enumerate(given, start=first):
            labels = self.trace.known(result)[dim]
            if not isinstance(size, Count) or labels is None or (labels == NONE).any():
                continue
            if size.attribute:
                self.trace.count(size.attribute, labels)
            elif size.axis and (own := self.trace.known(size.axis[0])[size.axis[1]]) is not None:
                self.trace.labels.count_alike(labels, own)
            elif size.axis:
                self.trace.labels.hold(labels, "the network counts them by what cannot change")
            else:
                self.computed.append((int(size), labels))


@contextlib.contextmanager
def attributes_counted(network: nn.Module) -> Iterator[None]:
    """Let whole numbers, and several in one, that are attributes of modules, but torch's, know their origin."""
    found = []
    for name, module in network.named_modules():
        if not type(module).__module__.startswith("torch.nn."):
            counted = [(module, name, key, value) for key, value in vars(module).items() if _are_sizes(value)]
            found += counted
    try:
        for module, name, key, value in found:
            vars(module)[key] = _with_origin(value, name, key)
        yield
    finally:
        for module, _, key, value in found:
            if vars(module).get(key) == value:  # and nothing that the module has put there
                vars(module)[key] = value


def set_attribute(module: nn.Module, attribute: Attribute, size: int) -> None:
    """Let an attribute be another number."""
    _, key, place = attribute
    value = getattr(module, key)
    several = [] if isinstance(value, int) else [*value[:place], size, *value[place + 1 :]]
    setattr(module, key, size if isinstance(value, int) else type(value)(several))


def _are_sizes(value: Any) -> bool:
    several = type(value) in (list, tuple) and value and all(type(size) is int for size in value)
    return type(value) is int or bool(several)


def _with_origin(value: Any, *origin: str) -> Any:
    counts = []
    for place, size in enumerate((value,) if isinstance(value, int) else value):
        counts.append(Count(size))
        counts[-1].attribute = (*origin, place)
    return counts[0] if isinstance(value, int) else type(value)(counts)
