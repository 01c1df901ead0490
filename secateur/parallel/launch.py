"""How several processes become one run. Free of torch, which one process alone does not need to answer a question.

`torchrun --nproc_per_node N main.py ...` starts N processes of the same command. The first reads the command line,
observes the run and writes its folder; the others compute in silence. They meet in secateur/parallel/collectives.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from secateur.parallel.parent import end_with
from secateur.runs.failures import REQUESTS
from secateur.utils.errors import UserError

if TYPE_CHECKING:
    from secateur.config.settings import Settings

#: What torchrun tells each process.
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
#: How long one waits for another: a data set that is read for the first time may take long.
PATIENCE = timedelta(hours=12)

T = TypeVar("T")


def one_of_several() -> bool:
    """Whether torchrun has started this process together with others."""
    return all(name in os.environ for name in VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def local_number() -> int:
    """The number of this process on its machine, from 0."""
    return int(os.environ["LOCAL_RANK"])


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Be one of torchrun's processes for a while; where there is one alone, or the group is there, nothing changes.

    The first process that fails tells why, and the others end by status 2 without a word. Where torchrun is killed the
    first is asked to end, and the others end at once.
    """
    if not one_of_several():
        yield
        return
    end_with(os.getppid(), signal.SIGKILL if int(os.environ["RANK"]) else signal.SIGTERM)
    import torch
    import torch.distributed

    if torch.distributed.is_initialized():
        yield
        return
    store, rank, size = next(torch.distributed.rendezvous("env://", timeout=PATIENCE))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if local_number() < torch.cuda.device_count():
        torch.cuda.set_device(local_number())
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    with Path(os.devnull).open("w") as nowhere, contextlib.ExitStack() as stack:
        if rank:
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            # It goes on until the first one ends: which could not save the network if it waited for this one.
            for request in REQUESTS:
                signal.signal(request, signal.SIG_IGN)
        try:
            yield
        except BaseException:
            if _is_told(store):
                raise SystemExit(2) from None
            raise
    torch.distributed.destroy_process_group()


def _is_told(store: object) -> bool:
    """Whether another process has said before this one why the run ends."""
    try:
        return store.add("told", 1) > 1
    except RuntimeError:  # torchrun itself has gone, and with it the store
        return int(os.environ["RANK"]) > 0


def broadcast_from_rank0(make: Callable[[], T]) -> T:
    """Return what `make` returns in the first process, where alone it is called."""
    if not one_of_several():
        return make()
    from secateur.parallel.collectives import broadcast_from_rank0

    return broadcast_from_rank0(make)


def check_command(settings: Settings | None) -> None:
    """Refuse, under torchrun, what is no training of one run; `settings` of None are a grid."""
    if not one_of_several():
        return
    if settings is None:
        raise UserError("torchrun trains one run, but several values in a flag are a grid: start it without torchrun")
    for flag in ("eval", "report", "board"):
        if settings[flag] not in (None, False):
            raise UserError(f"torchrun trains one run: start --{flag} without it")
