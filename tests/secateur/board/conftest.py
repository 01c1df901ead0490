"""A board over a results folder that tests write, answering as browsers ask."""

import http.client
import json
import math
import threading

import pytest

from secateur.board import runs
from secateur.board.runs import Runs
from secateur.board.server import bind
from tests.secateur.reports.conftest import make_run_folder  # noqa: F401


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A board of the folder results/, which looks anew at each request."""
    monkeypatch.setattr(runs, "PAUSE", 0)
    monkeypatch.setattr(runs, "SHARE", math.inf)
    (tmp_path / "results").mkdir()
    with bind(Runs(tmp_path / "results"), 0, other=False) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def ask(server):
    """Ask for a path; returns status, headers and body. `host` and further headers are sent as they are."""

    def ask(path, method="GET", host=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        connection.putrequest(method, path, skip_host=True)
        for one in [f"127.0.0.1:{server.server_port}"] if host is None else host:
            connection.putheader("Host", one)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), body

    return ask


@pytest.fixture
def rows(ask):
    """The rows of the table, by the name of the run folder."""
    return lambda: {run["id"]: run for run in json.loads(ask("/api/runs")[2])["runs"]}
