"""Any wrong command line is one line that names the flag, with status 2: no traceback, no folder."""

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur import cli
from secateur.config.command_line import parse
from secateur.config.parser import general_options, names_of, options_of_readers, usual_options
from secateur.utils.errors import UserError
from tests.fuzzing import HOOKS, REGISTRY, cases, check_line, refused_or


def flags():
    declared = [*options_of_readers(HOOKS), *usual_options(REGISTRY), *general_options(REGISTRY)]
    names = {name for one in declared for name in names_of(one.option)}
    return sorted("-h" if name == "h" else f"--{name}" for name in names)


HOSTILE = [
    *("", " ", "-", "--", "0", "-1", "1e999", "-1e-999", "nan", "inf", "-inf", "1_0", "0x10", "1e3", "٣", "½", "None"),
    *(
        "9" * 400,
        "-" + "9" * 30,
        "1" * 5000,
        "a" * 300,
        "a" * 5000,
        "True",
        "1,2",
        ",",
        "a,,b",
        "1/0",
        "1/",
        "2:4",
        "[1]",
        "{}",
    ),
    *(
        "..",
        "../../etc/passwd",
        "/dev/null",
        "/",
        "~",
        "a/b",
        "C:\\x",
        "a\0b",
        "\udcff",
        "🌳",
        "\u202e",
        "\x1b[31m",
        "\n",
    ),
    *("%s", "%(prog)s", "%", "$HOME", "'; drop", "@file", "torchvision:", "timm:x", ":", "torchvision:../x", "latest"),
    *("a.pth", "../a.pth", "a.safetensors", "SNIP", "LeNet300", "DIGITS", "1", "0.5", "help", "=", "steps:1x1e999"),
]
value = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8))
words = st.one_of(
    st.tuples(st.sampled_from(flags())),
    st.tuples(st.sampled_from(flags()), value),
    st.tuples(st.sampled_from(flags()), value, value),
    st.builds(lambda flag, text: (f"{flag}={text}",), st.sampled_from(flags()), value),
)
commands = st.lists(words, min_size=1, max_size=3).map(lambda groups: [word for group in groups for word in group])


def named_in(command):
    """What an error of a command line may name: flags, what stands for one, and values as they are shown."""
    flags = [word.partition("=")[0] for word in command if word.startswith("-")]
    folded = ["--" + flag.lstrip("-").replace("-", "_") for flag in flags]
    values = [word.partition("=")[2] for word in command if word.startswith("--")]
    shown = [str(UserError(word)) for word in [*command, *values] if word]
    return [*flags, *folded, *shown, *(word[:50] for word in shown), *(repr(word) for word in command)]


@cases(600)
@given(commands)
def test_any_command_line_is_read_or_refused_in_a_line_that_names_the_flag(command):
    refused_or(lambda: parse(command, REGISTRY, HOOKS), *named_in(command))


@pytest.fixture
def without_runs(tmp_path, monkeypatch):
    """Let main.main come to the point where a run would begin, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("secateur.runs.execute.execute", lambda *_: None)
    monkeypatch.setattr("secateur.runs.train_first.train_first", lambda settings, *_: (settings, [], None))
    monkeypatch.setattr("secateur.grid.run_grid.run_grid", lambda *_: 0)
    monkeypatch.setattr("secateur.reports.write.report", lambda *_: [])
    monkeypatch.setattr("secateur.board.server.board", lambda *_: None)
    return tmp_path


@cases(100)
@given(commands)
def test_main_ends_by_status_2_and_one_line(without_runs, command):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(command)
    assert status in (0, 2)
    if status == 2:
        assert out.getvalue() == ""
        line = err.getvalue()
        assert line.startswith("error: ")
        assert line.endswith("\n")
        check_line(line[:-1], *named_in(command))
    else:
        assert err.getvalue() == ""
    assert list(without_runs.iterdir()) == []
