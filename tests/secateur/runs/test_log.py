"""The log of a run: what names say in it commands no terminal."""

import logging

from secateur.runs.log import FileLog

HOSTILE = "\x1b[2J\u202e\udcff"


def test_a_line_of_the_log_commands_no_terminal_and_lines_stay_lines(tmp_path):
    file, log = FileLog(tmp_path / "log.txt"), logging.Logger("secateur")
    log.addHandler(file)
    log.warning("%s of %d\nsecond", HOSTILE, 3)
    log.info(f"100% {HOSTILE}")
    file.close()
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.partition(" ")[2].partition(" ")[2] for line in lines[::2]] == [
        r"\x1b[2J\u202e\udcff of 3",
        r"100% \x1b[2J\u202e\udcff",
    ]
    assert lines[1] == "second"
