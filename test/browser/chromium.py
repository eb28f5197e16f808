"""A headless Chromium, driven over its DevTools pipe: pages, their DOM, what they request, pictures of them.

    with Chromium() as browser:
        page = browser.open("file:///tmp/report.html", width=390)
        page.evaluate("document.title")

The protocol's pipe (file descriptors 3 and 4) needs no port and no library. The browser has a process group and a profile folder of its own;
both are gone when the `with` block ends, whatever happened in it; close() fails when a process stays.
Chromium.find() says where the browser is: $PARTI_CHROMIUM, else chromium of the machine; None where there is none.
"""
import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from temp_folder import TempFolder

DEADLINE = 60  # seconds for any answer: the machine may be busy
SKIPPED = 77   # what a test exits with that could not run


class BrowserError(Exception):
    """The browser did not do what it was asked for; the text says which."""


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session
        self.requests = []    # every URL asked for
        self.complaints = []  # errors and exceptions that the page printed

    def call(self, method, **parameters):
        return self.browser.call(method, parameters, self.session)

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails'].get('exception', answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def wait_until(self, expression, seconds=DEADLINE):
        """Until the expression is true in the page; its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.evaluate(expression)
            if value:
                return value
            if time.monotonic() > end:
                raise BrowserError(f"not true after {seconds} s: {expression}")
            self.browser.pump(0.1)

    def colours(self, scheme):
        self.call("Emulation.setEmulatedMedia", media="screen", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, file):
        size = self.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], 16000), "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        Path(file).write_bytes(base64.b64decode(answer["data"]))

    def print_pdf(self, file):
        answer = self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)
        Path(file).write_bytes(base64.b64decode(answer["data"]))


class Chromium:
    @staticmethod
    def find():
        given = os.environ.get("PARTI_CHROMIUM")
        if given is not None:
            return given if os.access(given, os.X_OK) else None
        # The package's own program first: what lies in the path is a script around it.
        for candidate in ("/usr/lib/chromium/chromium", shutil.which("chromium"), shutil.which("google-chrome")):
            if candidate and os.access(candidate, os.X_OK):
                return candidate
        return None

    def __init__(self, program=None):
        program = program or self.find()
        if program is None:
            raise BrowserError("there is no chromium: apt-get install chromium")
        self.folder = TempFolder(prefix="parti-chromium-", ignore_cleanup_errors=True)
        self.profile = self.folder.name
        self.number, self.buffer, self.answers, self.pages = 0, b"", {}, {}
        commands, self.to_browser = os.pipe()
        self.from_browser, events = os.pipe()

        def give_descriptors():  # in the child, before the browser begins
            # Away from 3 and 4 first, so that neither copy overwrites the other's source.
            reading, writing = os.dup2(commands, 50), os.dup2(events, 51)
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        self.log = open(os.path.join(self.profile, "log"), "wb")
        options = ["--headless", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={self.profile}/data", "--disable-gpu", "--no-first-run",
                   "--disable-dev-shm-usage", "--disable-breakpad", "--disable-crash-reporter", "--disable-background-networking", "--disable-component-update",
                   "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--no-default-browser-check", "about:blank"]
        self.process = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, close_fds=False,
                                        start_new_session=True, preexec_fn=give_descriptors,
                                        env={**os.environ, "HOME": self.profile, "TMPDIR": self.profile})
        os.close(commands)
        os.close(events)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, method, parameters=None, session=None):
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        try:
            os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise BrowserError(f"{method}: the browser has gone: {self.last_words()}") from None
        end = time.monotonic() + DEADLINE
        while number not in self.answers:
            if time.monotonic() > end:
                raise BrowserError(f"{method}: no answer within {DEADLINE} s")
            self.pump(1)
        answer = self.answers.pop(number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return answer["result"]

    def pump(self, seconds):
        """Reads what the browser says for at most this long; returns after the first piece."""
        ready, _, _ = select.select([self.from_browser], [], [], seconds)
        if not ready:
            return
        piece = os.read(self.from_browser, 1 << 20)
        if not piece:
            raise BrowserError(f"the browser has gone: {self.last_words()}")
        self.buffer += piece
        *messages, self.buffer = self.buffer.split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            elif message.get("sessionId") in self.pages:
                self.note(self.pages[message["sessionId"]], message["method"], message["params"])

    @staticmethod
    def note(page, method, parameters):
        if method == "Network.requestWillBeSent":
            page.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            page.complaints.append(str(parameters["exceptionDetails"].get("exception", {}).get("description", parameters["exceptionDetails"]["text"])))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            page.complaints.append(parameters["entry"]["text"])

    def last_words(self):
        self.log.flush()
        return Path(self.log.name).read_text(errors="replace")[-800:]

    def open(self, url, width=1200, height=900, phone=False):
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self.pages[session] = Page(self, session)
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        answer = page.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        page.wait_until(f"location.href !== 'about:blank' && document.readyState === 'complete'")
        return page

    def group(self):
        """Processes of the browser's group or with its profile on their command line."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has just ended
            state, group = fields[0], int(fields[2])
            if state not in "ZX" and (group == self.process.pid or self.profile in command):
                found.append(int(entry.name))
        return found

    def close(self):
        try:
            os.write(self.to_browser, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        except OSError:
            pass
        os.close(self.to_browser)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.from_browser)
        self.log.close()
        end = time.monotonic() + 10
        while (left := self.group()) and time.monotonic() < end:
            time.sleep(0.05)  # polls, with the deadline above: processes that are not our children cannot be waited for
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.folder.cleanup()
        if left:
            raise BrowserError(f"processes of the browser outlived it: {left}")
