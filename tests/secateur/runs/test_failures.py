"""What ends a run without being a bug is one line that says what to try."""

import errno
import shutil
import threading

import pytest
import torch

from secateur.runs.failures import disk_reason, explain, explained, is_disk_error, quiet_threads
from secateur.utils.errors import UserError

PLAIN, COMPILED = {"compile": False}, {"compile": True}


class InvalidCxxCompilerError(RuntimeError):
    """As torch's, whose module it takes a second to import."""

    __module__ = "torch._inductor.exc"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory:\n you tried to allocate 80 bytes"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 80 bytes"),
    ],
)
def test_memory_that_runs_out_says_what_to_try(error):
    line = str(explain(error, PLAIN))
    assert line.startswith("out of memory: try a smaller --batch_size")
    assert "\n" not in line


@pytest.mark.parametrize("end", ["(pid 7) is killed by signal: Killed. ", "(pid(s) 7, 8) exited unexpectedly"])
def test_a_process_that_decodes_and_is_killed_is_one_line(end):
    line = str(explain(RuntimeError(f"DataLoader worker {end}"), PLAIN))
    assert line.startswith("a process that decodes images was killed, perhaps because memory ran out")
    assert "--preload_all_data" in line


def test_memory_that_really_runs_out_is_known():
    with pytest.raises(UserError, match="out of memory"), explained(PLAIN):
        torch.empty(2**60, dtype=torch.uint8)


def test_a_compiler_that_is_missing_is_told_only_where_one_was_asked_for():
    error = InvalidCxxCompilerError("No working C++ compiler found")
    assert "--compile: No working C++ compiler found: it takes a C++ compiler" in str(explain(error, COMPILED))
    assert explain(error, PLAIN) is None


def test_a_bug_stays_one():
    assert explain(RuntimeError("size mismatch"), COMPILED) is None
    with pytest.raises(ZeroDivisionError), explained(PLAIN):
        raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_tells_of_bugs_but_not_of_full_disks(monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def end_by(error):
        def target():
            raise error

        thread = threading.Thread(target=target)
        thread.start()
        thread.join()

    with quiet_threads():
        end_by(OSError(28, "No space left on device"))
        assert told == []
        end_by(KeyError("a bug"))
    assert [arguments.exc_type for arguments in told] == [KeyError]
    end_by(OSError(28, "No space left on device"))
    assert len(told) == 2


def test_a_disk_error_is_one_of_the_disk_and_not_of_the_name():
    disk = ("ENOSPC", "EDQUOT", "EROFS", "EIO", "EFBIG", "ESTALE", "ENOTCONN")
    other = ("ENOENT", "EACCES", "EISDIR", "EPIPE")
    found = {name: is_disk_error(OSError(getattr(errno, name), "")) for name in (*disk, *other)}
    assert found == dict.fromkeys(disk, True) | dict.fromkeys(other, False)
    assert not is_disk_error(ValueError(errno.ENOSPC))


def test_the_reason_of_a_copy_that_failed_is_that_of_its_first_file():
    reason = "[Errno 28] No space left on device: 'b'"
    assert disk_reason(shutil.Error([("a", "b", reason), ("c", "d", "other")])) == reason
    assert disk_reason(OSError(28, "No space left on device")) == "No space left on device"


def test_the_whole_line_of_what_is_no_bug_is_told():
    long = "x" * 301
    short = f"{'x' * 150} ... {'x' * 150}"
    assert str(explain(MemoryError(f"a\n  {long[:298]}"), PLAIN)) == (
        f"out of memory: try a smaller --batch_size or network, or fewer images by --N (a {long[:298]})"
    )
    assert str(explain(MemoryError(long), PLAIN)).endswith(f"({short})")
    end = "DataLoader worker (pid 7) is killed by signal: Killed."
    assert str(explain(RuntimeError(end), PLAIN)) == (
        f"a process that decodes images was killed, perhaps because memory ran out ({end}); --preload_all_data decodes "
        "them beforehand"
    )
    assert explain(ValueError(end), PLAIN) is explain(ValueError("out of memory"), PLAIN) is None
    error = InvalidCxxCompilerError(f"{long}\n\nSet TORCHDYNAMO_VERBOSE=1 for the internal stack trace")
    assert str(explain(error, COMPILED)) == (
        f"--compile: {short}: it takes a C++ compiler, such as g++, and a network that torch can trace; leave "
        "--compile out to go without"
    )
    own = UserError("own")
    assert explain(own, COMPILED) is own


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("no\n  words"), "no words"),
        (shutil.Error("one text"), "one text"),
        (shutil.Error([("a", "b", "first"), ("c", "d", "second")]), "first"),
        (shutil.Error(), ""),
    ],
)
def test_a_disk_says_why_in_a_line(error, reason):
    assert disk_reason(error) == reason


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_says_nothing_of_a_folder_that_has_vanished(monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    with quiet_threads():
        for error in (FileNotFoundError(), PermissionError(), None):
            arguments = threading.ExceptHookArgs((OSError, error, None, None))
            threading.excepthook(arguments)
    assert [arguments.exc_value for arguments in told[1:]] == [None]
    assert type(told[0].exc_value) is PermissionError
    assert threading.excepthook == told.append
