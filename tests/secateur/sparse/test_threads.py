"""On how many threads a kernel is called, and with what."""

import ctypes
from types import SimpleNamespace

import pytest
import torch

from secateur.sparse import threads
from secateur.sparse.kernels import Job, address_of


@pytest.fixture
def calls(monkeypatch):
    """What is called on how many threads, of which torch has four."""
    called = []
    monkeypatch.setattr(threads, "compiled", lambda kernel: f"compiled {kernel}")
    monkeypatch.setattr(threads, "on_all_threads", lambda *arguments: called.append(arguments))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    return called


@pytest.mark.parametrize(
    ("tasks", "asked", "number"), [(9, None, 4), (3, None, 3), (9, 2, 2), (9, 6, 6), (5, 6, 5), (4, 4, 4)]
)
def test_a_job_runs_on_as_many_threads_as_it_has_tasks_for(calls, tasks, asked, number):
    job = Job(tasks=tasks)
    threads.run("kernel", job, asked)
    assert calls == [("compiled kernel", ctypes.addressof(job), number)]
    assert job.here == ctypes.addressof(job)


def test_jobs_one_after_the_other_run_on_all_threads_and_know_where_they_stand(calls):
    jobs = (Job * 3)()
    threads.run_jobs("kernel", jobs)
    assert calls == [("compiled kernel", ctypes.addressof(jobs), 4)]
    assert [job.here for job in jobs] == [ctypes.addressof(job) for job in jobs]


def test_openmp_calls_a_kernel_on_several_threads_and_nobody_else_on_one(monkeypatch):
    called = []
    monkeypatch.setattr(threads, "_openmp", lambda: lambda *arguments: called.append(arguments))
    kernel = SimpleNamespace(address=11, ctypes=lambda address: called.append(address))
    threads.on_all_threads(kernel, 7, 2)
    threads.on_all_threads(kernel, 7, 1)
    assert called == [(11, 7, 2, 0), 7]


def test_openmp_takes_whole_addresses():
    parallel = threads._openmp()
    if parallel is None:
        pytest.skip("this torch computes without OpenMP")
    assert parallel.argtypes == [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    assert parallel.restype is None


def test_a_job_is_filled_in_a_copy_and_0_otherwise():
    job = Job(tasks=2, eps=5)
    other = job.filled(tasks=3, bands=4)
    assert (job.tasks, job.bands, job.eps) == (2, 0, 5)
    assert (other.tasks, other.bands, other.eps) == (3, 4, 5)
    tensor = torch.ones(2)
    assert (address_of(None), address_of(tensor)) == (0, tensor.data_ptr())
