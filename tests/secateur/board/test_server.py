"""The board's server: who may ask, for what, and what it never gives."""

import json
import re
import socket

import pytest

from secateur.board.runs import Runs
from secateur.board.server import HEADERS, PAGE, bind
from secateur.utils.errors import UserError


def test_the_page_and_its_files_load_nothing_from_elsewhere(ask):
    text = ""
    for path in PAGE:
        status, headers, body = ask(path)
        assert status == 200
        assert headers.items() >= HEADERS.items()
        assert int(headers["Content-Length"]) == len(body) > 500
        text += body.decode()
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "http://www.w3.org/2000/svg" in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|innerHTML|outerHTML|insertAdjacentHTML|eval\(", text)


def test_a_head_is_the_answer_without_its_body_and_what_is_known_is_not_sent_again(ask):
    status, headers, body = ask("/board.js")
    assert ask("/board.js", "HEAD")[:2] == (status, headers | {"Date": ask("/board.js", "HEAD")[1]["Date"]})
    assert ask("/board.js", "HEAD")[2] == b""
    again, _, nothing = ask("/board.js", If_None_Match=headers["ETag"])
    assert (again, nothing) == (304, b"")
    assert ask("/board.js", If_None_Match='"another"')[2] == body


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_sent(ask, method):
    status, headers, body = ask("/api/runs", method)
    assert (status, headers["Allow"], body) == (405, "GET, HEAD", b"a board is only read\n")
    assert ask("/api/runs", "BREW")[0] == 501


def test_it_answers_to_its_own_name_alone(ask, server):
    port = server.server_port
    assert ask("/", host=[f"localhost:{port}"])[0] == 200
    others = ["evil.example", f"evil.example:{port}", "127.0.0.1", "localhost:1", f"127.0.0.1.evil.example:{port}"]
    for host in [*([one] for one in others), [], [f"localhost:{port}", f"localhost:{port}"]]:
        for path in ("/", "/api/runs"):
            status, _, body = ask(path, host=host)
            assert (status, body) == (421, f"this board answers at http://127.0.0.1:{port}/ only\n".encode())


@pytest.mark.parametrize(
    "path",
    [
        "/../secret", "/%2e%2e/secret", "//etc/passwd", "/board.py", "/server.py", "/api", "/api/", "http://evil/", "*",
        "/api/run", "/api/run?run=", "/api/run?run=.", "/api/run?run=..%2foutside", "/api/run?run=%2fetc",
        "/api/layers?run=..%2foutside", "/api/layers?run=there%2f..%2f..%2foutside", "/api/layers?run=%00",
        "/api/run?run=%ff%fe", "/api/run?" + "run=x" * 5000,
    ],
)  # fmt: skip
def test_no_request_leads_out_of_the_folder(ask, make_run_folder, tmp_path, path):
    outside = make_run_folder("SNIP", 1).rename(tmp_path / "outside")
    assert outside.is_dir()
    status, _, body = ask(path)
    assert (status, body) == (404, b"there is no such page or run\n")


def test_what_is_no_request_is_refused_in_a_line(ask, server):
    assert ask("/api/run?" + "&".join("a" * 20))[0] == 400
    long, half = b"GET /" + b"x" * 70_000, b"GET / HTTP/1.1\r\nHost"
    for rubbish in (b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", long, half):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as line:
            line.sendall(rubbish)
            line.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda line=line: line.recv(1 << 16), b""))
        assert answer.count(b"HTTP/1.1 ") <= 1
        assert b"<" not in answer
    assert ask("/")[0] == 200


def test_text_of_a_folder_is_data(ask, make_run_folder, rows):
    make_run_folder("</script><script>alert(1)</script>\x1b", 1)
    _, headers, body = ask("/api/runs")
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    (row,) = rows().values()
    assert row["prune_criterion"] == "</script><script>alert(1)</script>\\x1b"
    assert b"\x1b" not in body


def test_an_error_of_its_own_ends_no_board(ask, server, monkeypatch, capsys):
    monkeypatch.setattr(server.runs, "listing", lambda: 1 / 0)
    assert ask("/api/runs")[::2] == (500, b"division by zero\n")
    assert ask("/")[0] == 200
    assert capsys.readouterr().err.startswith("warning: the board could not answer: division by zero (")


def test_a_port_that_is_taken_is_told_or_another_one_is_taken(server, tmp_path):
    with pytest.raises(UserError, match=f"--port {server.server_port}: Address already in use; name another one, or 0"):
        bind(Runs(tmp_path), server.server_port, other=False)
    with bind(Runs(tmp_path), server.server_port, other=True) as other:
        assert other.server_port != server.server_port
        assert other.server_address[0] == "127.0.0.1"


def test_details_are_json_that_every_browser_reads(ask, make_run_folder, rows):
    folder = make_run_folder("SNIP", 1, learning_rate=float("nan"), odd={"a": [1e400, 2**80]}, many=list(range(1000)))
    (name,) = rows()
    found = json.loads(ask(f"/api/run?run={name}")[2], parse_constant=pytest.fail)
    assert name == folder.name
    assert found["options"]["learning_rate"] == "nan"
    assert found["options"]["odd"] == "{'a': [inf, 1208925819614629174706176]}"
    assert len(found["options"]["many"]) < 320
