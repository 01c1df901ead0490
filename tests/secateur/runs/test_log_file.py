"""A log whose file or stream cannot be written, and the lock that says whose the run is."""

import contextlib
import errno
import io
import logging
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from secateur.runs import log as module
from secateur.runs.log import FileLog, StreamLog, is_locked, lock

fcntl = pytest.importorskip("fcntl", reason="a system without locks")


@pytest.fixture
def log():
    """A log and its handlers, which are closed."""
    log = logging.Logger("secateur")
    yield log
    for handler in log.handlers:
        handler.close()


@pytest.fixture
def locking(monkeypatch):
    """Let each lock be refused for a reason, or given where that is None; returns the flags that were asked for."""

    def answer(error):
        asked = []

        def lockf(file, flags):
            asked.append(flags)
            if error:
                raise error

        flags = {name: getattr(fcntl, name) for name in ("LOCK_EX", "LOCK_SH", "LOCK_NB")}
        monkeypatch.setattr(module, "fcntl", SimpleNamespace(lockf=lockf, **flags))
        return asked

    return answer


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of a file."""
    (tmp_path / "log.txt").write_text("")
    code = "import fcntl, sys; file = open(sys.argv[1], 'a'); fcntl.lockf(file, fcntl.LOCK_EX); print(); input()"
    words = [sys.executable, "-S", "-c", code, str(tmp_path / "log.txt")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield tmp_path / "log.txt"
        process.communicate(b"\n")


def test_a_run_has_the_lock_of_its_log_unless_another_process_has_it(tmp_path, other):
    assert is_locked(other)
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "nowhere")
    with contextlib.closing(FileLog(other)) as log:
        assert log.locked is False
    (tmp_path / "free.txt").write_text("")
    assert not is_locked(tmp_path / "free.txt")
    with contextlib.closing(FileLog(tmp_path / "free.txt")) as log:
        assert log.locked is True


@pytest.mark.parametrize(
    ("error", "given", "taken"),
    [
        (None, True, False),
        (BlockingIOError(), False, True),
        (PermissionError(), False, True),
        (OSError(errno.ENOLCK, "No locks available"), True, False),
    ],
)
def test_where_there_are_no_locks_each_run_has_its_own(tmp_path, locking, error, given, taken):
    (tmp_path / "file").write_text("")
    asked = locking(error)
    with (tmp_path / "file").open("a") as file:
        assert lock(file) is given
        assert lock(file, wait=True) is given
    assert is_locked(tmp_path / "file") is taken
    assert asked == [fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_EX, fcntl.LOCK_SH | fcntl.LOCK_NB]


def test_a_system_without_locks_gives_all(tmp_path, monkeypatch, other):
    monkeypatch.setattr(module, "fcntl", None)
    assert not is_locked(other)
    with other.open("a") as file:
        assert lock(file) is True


def test_lines_have_their_time_and_go_to_a_new_file_where_the_last_is_gone(tmp_path, log):
    path = tmp_path / "a" / "b" / "log.txt"
    log.addHandler(FileLog(path))
    log.info("é %d", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} é 1\n", path.read_text(encoding="utf-8"))
    path.unlink()
    path.parent.rmdir()
    path.parent.parent.rmdir()
    log.info("second")
    assert re.fullmatch(r"\S+ \S+ second\n", path.read_text())


def test_a_file_that_cannot_be_opened_again_is_told(tmp_path, log):
    path = tmp_path / "a" / "log.txt"
    file, told = FileLog(path), []
    log.addHandler(file)
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("a file in its place")
    log.info("to nobody")
    file.told = told.append
    log.info("told")
    assert [type(error) for error in told] == [NotADirectoryError]


def test_a_disk_that_takes_no_line_is_told_and_may_be_closed(tmp_path, log, monkeypatch, capsys):
    file, told = FileLog(tmp_path / "log.txt"), []
    log.addHandler(file)
    file.told = told.append

    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file, "flush", full)
    log.info("line")
    assert [error.errno for error in told] == [errno.ENOSPC]
    stream = file.stream
    file.close()
    stream.close()
    assert capsys.readouterr().err == ""


def test_what_is_wrong_with_a_line_is_told_as_logging_does(tmp_path, log, capsys):
    file, told = FileLog(tmp_path / "log.txt"), []
    file.told = told.append
    file.filters.clear()  # which would read the line
    for handler in (file, StreamLog(io.StringIO())):
        log.addHandler(handler)
        log.info("%d", "no number")
        assert "TypeError: %d format: a real number is required, not str" in capsys.readouterr().err
        log.removeHandler(handler)
    file.close()
    assert told == []


def test_a_stream_that_is_closed_ends_the_run_and_a_full_one_does_not(log, capsys):
    class Stream(io.StringIO):
        error = None

        def write(self, text):
            if self.error:
                raise self.error
            return super().write(text)

    stream = Stream()
    log.addHandler(StreamLog(stream))
    log.info("one")
    stream.error = OSError(errno.ENOSPC, "No space left on device")
    log.info("two")
    stream.error = BrokenPipeError()
    with pytest.raises(BrokenPipeError):
        log.info("three")
    assert (stream.getvalue(), capsys.readouterr().err) == ("one\n", "")
