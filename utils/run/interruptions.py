"""Requests to end: Ctrl-C, and the signals that main.py turns into exceptions."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

REQUESTS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def held_back() -> Iterator[None]:
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
