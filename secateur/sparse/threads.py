"""Runs a kernel on torch's own threads, so that there is one pool and `torch.set_num_threads` holds for it."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

from secateur.sparse.kernels import Job, compiled


@cache
def _openmp() -> Any:
    """Return OpenMP's way to call a function on all threads, from the library that torch uses; None where it is not."""
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel  # GNU's, which LLVM's and Intel's know as well
    except (AttributeError, OSError, TypeError):
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return parallel


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "secateur-sparse")


def on_all_threads(kernel: Any, address: int, threads: int) -> None:
    """Call a compiled kernel with this address, on so many threads at once."""
    if threads == 1:
        kernel.ctypes(address)
    elif _openmp() is not None:
        _openmp()(kernel.address, address, threads, 0)
    else:
        list(_pool(threads).map(kernel.ctypes, [address] * threads))


def run(kernel: Any, job: Job, threads: int | None = None) -> None:
    """Run a kernel for one job, whose tasks the threads share: torch's, or so many."""
    job.here = ctypes.addressof(job)
    on_all_threads(compiled(kernel), job.here, min(threads or number_of_threads(), job.tasks))


def run_jobs(kernel: Any, jobs: ctypes.Array) -> None:
    """Run a kernel for jobs of which each begins when all tasks of those before are done; the threads share them."""
    address = ctypes.addressof(jobs)
    for number, job in enumerate(jobs):
        job.here = address + number * ctypes.sizeof(Job)
    on_all_threads(compiled(kernel), address, number_of_threads())


def number_of_threads() -> int:
    """As many as torch computes on."""
    return torch.get_num_threads()
