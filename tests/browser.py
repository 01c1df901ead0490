"""A Chromium without a window, driven through two pipes by its DevTools protocol; no package is needed for it."""

import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-extensions", "--remote-debugging-pipe", "--hide-scrollbars"),
)
#: Seconds after which the browser is taken to hang.
PATIENCE = 60


class Browser:
    """One page."""

    def __init__(self, profile):
        # Chromium reads requests from its descriptor 3 and writes answers to its descriptor 4.
        theirs_in, self.requests = os.pipe()
        self.answers, theirs_out = os.pipe()
        command = [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10) for descriptor in (theirs_in, theirs_out)]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{high[0]} 4>&{high[1]}', "bash", *command],
            pass_fds=high,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for descriptor in (theirs_in, theirs_out, *high):
            os.close(descriptor)
        self.numbers, self.buffer, self.session, self.errors = itertools.count(1), b"", None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """Ask the browser for something, and return what it answers; notes what the page complains of."""
        number = next(self.numbers)
        request = {"id": number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.requests, json.dumps(request).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(answer["params"]))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _next(self):
        while b"\0" not in self.buffer:
            if not select.select([self.answers], [], [], PATIENCE)[0]:
                raise TimeoutError("the browser says nothing")
            piece = os.read(self.answers, 1 << 20)
            if not piece:
                raise EOFError("the browser has ended")
            self.buffer += piece
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def show(self, url, width=1280, height=900, scheme="light"):
        """Go to a page, in a window of this size."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)

    def value(self, script):
        """What a line of JavaScript is worth in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, script):
        """Wait until a line of JavaScript is worth something, and return that."""
        end = time.monotonic() + PATIENCE
        while not (found := self.value(script)):
            if time.monotonic() > end:
                raise TimeoutError(f"it never came true: {script}; {self.errors}")
            select.select([], [], [], 0.05)
        return found

    def press(self, text):
        """Type a text."""
        self.call("Input.insertText", text=text)

    def key(self, name):
        """Press a key, as `ArrowDown` or a space."""
        codes = {"ArrowDown": 40, "ArrowUp": 38, "Escape": 27, "Tab": 9, " ": 32, "/": 191, "Enter": 13}
        text = {"text": name} if len(name) == 1 else {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=codes[name], **more)

    def close(self):
        """End the browser."""
        with contextlib.suppress(RuntimeError, OSError, EOFError):
            self.session = None
            self.call("Browser.close")
        for descriptor in (self.requests, self.answers):
            os.close(descriptor)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
