"""The board: a server that shows a results folder to the browsers of this machine, and changes nothing."""

from __future__ import annotations

import errno
import json
import os
import sys
import zlib
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs

from secateur.board.runs import Runs
from secateur.config.settings import Settings
from secateur.reports.collect import check_folder
from secateur.utils.errors import UserError, one_line, raised_at
from secateur.utils.text import printable

ADDRESS = "127.0.0.1"
#: The flags that the board reads.
READ = {"board", "port", "results_dir", "disable_plugin"}
#: The files of the page, by their path, and what they are.
PAGE = {
    "/": ("board.html", "text/html"),
    "/board.css": ("board.css", "text/css"),
    "/board.js": ("board.js", "text/javascript"),
    "/columns.js": ("columns.js", "text/javascript"),
    "/compare.js": ("compare.js", "text/javascript"),
    "/chart.js": ("chart.js", "text/javascript"),
}
#: The page loads nothing but these, is part of no other page, and no other page reads an answer.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # kept, and asked about by its tag each time
}


def board(settings: Settings, say: Callable[[str], None]) -> None:
    """Show the folder of `--board` until Ctrl-C.

    Raises `UserError` for flags that have no say in it, a folder that is none, and a port that cannot be had.
    """
    if others := sorted(settings.given - READ):
        raise UserError(f"--board only shows runs: leave out --{others[0]}")
    named = settings["board"] is not True
    folder = settings["board"] if named else settings["results_dir"]
    if named:
        check_folder("--board", folder, "one that holds run folders")
    with bind(Runs(folder), settings["port"], other="port" not in settings.given) as server:
        say(f"board: {server.url} shows {folder}; Ctrl-C ends it")
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            say("board ended")


def bind(runs: Runs, port: int, *, other: bool) -> Server:
    """A server of these runs at a port, 0 for any that is free; where it is taken, at an `other` one or none.

    Raises `UserError` where it cannot be had.
    """
    try:
        return Server(runs, port)
    except OSError as error:
        if other and error.errno == errno.EADDRINUSE:
            return Server(runs, 0)
        raise UserError(f"--port {port}: {error.strerror}; name another one, or 0 for one that is free") from error


class Server(ThreadingHTTPServer):
    """Answers requests, each in a thread, which end with the program."""

    allow_reuse_address = os.name != "nt"  # where it would let two programs have one port
    daemon_threads = True

    def __init__(self, runs: Runs, port: int) -> None:
        super().__init__((ADDRESS, port), Handler)
        self.runs = runs
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}
        self.hosts |= {ADDRESS, "localhost"} if self.server_port == 80 else set()
        here = Path(__file__).parent
        self.page = {
            path: ((here / name).read_bytes(), f"{kind}; charset=utf-8") for path, (name, kind) in PAGE.items()
        }

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def server_bind(self) -> None:
        """Take the port, without asking a name server for this machine's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in a line what went wrong; that a browser has closed its connection is nothing."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            sys.stderr.write(f"warning: the board could not answer: {printable(one_line(error))}{raised_at(error)}\n")


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    #: Seconds after which a connection that says nothing is closed.
    timeout = 60
    server: Server

    def do_GET(self) -> None:
        """Answer with a file of the page, or with what is known of runs."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:  # a page of a name that leads here, say
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, f"this board answers at {self.server.url} only")
            return
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what follows is not read
        path, _, query = self.path.partition("?")
        if path in self.server.page:
            self._send(HTTPStatus.OK, *self.server.page[path])
            return
        try:
            content = self._known(path, parse_qs(query, max_num_fields=2).get("run", [""])[0])
        except ValueError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, one_line(error, 200))
        except Exception as error:  # whatever a folder holds, the board goes on
            self.server.handle_error(self.request, self.client_address)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, one_line(error, 200))
        else:
            if content is None:
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such page or run")
            else:
                self._send(HTTPStatus.OK, content, "application/json")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """Refuse: nothing can be changed here."""
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "a board is only read")

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815

    def _known(self, path: str, name: str) -> bytes | None:
        """What is known of all runs or of one, as JSON; None where there is no such thing."""
        runs = self.server.runs
        if path == "/api/runs":
            return runs.listing()
        if path == "/api/run":
            details = runs.details(name)
            return details and json.dumps(details, allow_nan=False).encode()
        folder = runs.folder(name) if path == "/api/layers" else None
        if folder is None:
            return None
        from secateur.board.layers import layers_of  # here, as it brings in NumPy

        return json.dumps(layers_of(folder), allow_nan=False).encode()

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        tag = f'"{zlib.crc32(content):08x}-{len(content)}"'
        if status is HTTPStatus.OK and self.headers.get("If-None-Match") == tag:
            status, content = HTTPStatus.NOT_MODIFIED, b""
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status is HTTPStatus.OK:
            self.send_header("ETag", tag)
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        self._send(status, f"{printable(why)}\n".encode(), "text/plain; charset=utf-8")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what the library cannot read as a request, in a line like the others."""
        self.headers = getattr(self, "headers", None) or Message()
        self.command = getattr(self, "command", None) or "GET"
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def version_string(self) -> str:
        """Name the program, without versions."""
        return "secateur"

    def log_message(self, *_: Any) -> None:
        """Say nothing of requests that were answered."""
