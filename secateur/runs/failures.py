"""What ends a run without being a bug: full disks and memory, and requests to end. Free of torch."""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from secateur.utils.errors import UserError, one_line, shortened

if TYPE_CHECKING:
    from secateur.config.settings import Settings

#: A disk that is full, over its quota, read-only, broken or gone, or a file that may not become larger.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.ESTALE, errno.ENOTCONN}
#: What torch's allocators say, most of them by a plain RuntimeError.
MEMORY_ERRORS = ("can't allocate memory", "not enough memory", "out of memory")


#: What torch says of a process that decodes and is no more.
DECODING_ENDED = re.compile(r"DataLoader worker \(pid(\(s\))? .*(is killed by signal|exited unexpectedly)")


def is_disk_error(error: BaseException) -> bool:
    """Whether a disk cannot be written any more."""
    return isinstance(error, OSError) and error.errno in DISK_ERRORS


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of an accelerator."""
    # By its name: torch's own class would bring torch in.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in MEMORY_ERRORS)


def disk_reason(error: OSError) -> str:
    """What the system says: `No space left on device`."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])  # of the first of the files that could not be copied
    return error.strerror or one_line(error)


def explain(error: BaseException, settings: Settings) -> UserError | None:
    """Return the line for an error that is no bug; None where it is one."""
    if isinstance(error, UserError):
        return error
    if is_out_of_memory(error):
        return UserError(
            f"out of memory: try a smaller --batch_size or network, or fewer images by --N ({one_line(error, 300)})"
        )
    if isinstance(error, RuntimeError) and DECODING_ENDED.match(str(error)):
        return UserError(
            f"a process that decodes images was killed, perhaps because memory ran out ({one_line(error, 300)}); "
            "--preload_all_data decodes them beforehand"
        )
    if settings["compile"] and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        reason = one_line(error).partition(" Set TORCHDYNAMO_VERBOSE")[0]  # of that run with more output
        return UserError(
            f"--compile: {shortened(reason, 300)}: it takes a C++ compiler, such as g++, and a network that torch can "
            "trace; leave --compile out to go without"
        )
    return None


@contextlib.contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Turn errors that are no bugs into `UserError`."""
    try:
        yield
    except Exception as error:
        if (line := explain(error, settings)) is None:
            raise
        raise line from error


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """Let threads that meet a full disk, or a folder that has vanished, end without a traceback of theirs.

    TensorBoard writes in a thread, and raises what that met again in the next call.
    """
    usual = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        error = arguments.exc_value
        if error is None or not (is_disk_error(error) or isinstance(error, FileNotFoundError)):
            usual(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = usual


REQUESTS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """Let a request to end wait until the block is left; a second one is not held back.

    Its exception may come between any two steps of the interpreter. Within a queue that is shared with a thread it
    comes after a lock is taken and before anything gives it back, or after the thread was woken and before that is
    noted; what uses the queue afterwards, if only to close it, then waits for minutes or forever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # such exceptions come in the main thread alone
        return
    usual = {number: handler for number in REQUESTS if callable(handler := signal.getsignal(number))}
    waiting: list[tuple[int, FrameType | None]] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if waiting:
            waiting.clear()
            usual[number](number, frame)
        waiting.append((number, frame))

    for number in usual:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        for number, frame in waiting:
            usual[number](number, frame)
