"""A request to end waits for what must not be left in the midst."""

import os
import signal
import threading

import pytest

from secateur.cli import _stop, main
from secateur.runs.failures import defer_signals


@pytest.fixture(autouse=True)
def _handlers():
    """SIGTERM as the command line takes it."""
    before = signal.signal(signal.SIGTERM, _stop)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("sent", "error"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)], ids=["SIGTERM", "Ctrl-C"]
)
def test_it_comes_when_the_block_is_left(sent, error):
    done = []

    def interrupted():
        with defer_signals():
            with defer_signals():
                os.kill(os.getpid(), sent)
                done.append("inner")
            done.append("outer")

    with pytest.raises(error):
        interrupted()
    assert done == ["inner", "outer"]
    assert signal.getsignal(signal.SIGTERM) is _stop
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_does_not_wait():
    done = []

    def interrupted():
        with defer_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("held back")
            os.kill(os.getpid(), signal.SIGINT)
            done.append("never")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["held back"]


def test_without_one_nothing_is_changed_even_by_an_error_or_in_a_thread():
    with pytest.raises(ValueError, match="wrong"), defer_signals():
        raise ValueError("wrong")
    assert signal.getsignal(signal.SIGTERM) is _stop
    seen = []

    def work():
        with defer_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [_stop]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize(("before", "after"), [(signal.SIG_IGN, signal.SIG_IGN), (signal.SIG_DFL, _stop)])
def test_what_nohup_has_switched_off_stays_off(before, after):
    usual = signal.signal(signal.SIGHUP, before)
    try:
        assert main(["--version"]) == 0
        assert signal.getsignal(signal.SIGHUP) is after
    finally:
        signal.signal(signal.SIGHUP, usual)
