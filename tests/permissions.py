"""Files and folders that may not be read or written, also where the tests are run by root."""

import contextlib
import ctypes
import os

#: Of Linux's capget(2): its version, and the powers of root that pass over the rights of files.
VERSION, OVER_RIGHTS = 0x20080522, 1 << 1 | 1 << 2


@contextlib.contextmanager
def only(mode, *paths):
    """Give files and folders these rights for a while, which then count for this process too."""
    before = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(mode)
    try:
        with _without_power():
            yield
    finally:
        for path, its_mode in before.items():
            path.chmod(its_mode)


@contextlib.contextmanager
def _without_power():
    if os.geteuid():
        yield
        return
    system = ctypes.CDLL(None, use_errno=True)
    header, powers = (ctypes.c_uint32 * 2)(VERSION, 0), (ctypes.c_uint32 * 6)()
    assert system.capget(header, powers) == 0
    effective = powers[0]
    powers[0] = effective & ~OVER_RIGHTS
    assert system.capset(header, powers) == 0
    try:
        yield
    finally:
        powers[0] = effective
        assert system.capset(header, powers) == 0
