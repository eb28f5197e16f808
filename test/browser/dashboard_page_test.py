#!/usr/bin/env python3
"""The live page in a real browser: it receives events and changes; and the server around it, over plain HTTP.

Usage: dashboard_page_test.py STRESS_REPORT [unittest arguments]. Exit 77: there is no browser (see test_support.need_browser).
"""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import unittest
from pathlib import Path

import chromium
from report_page_test import BROKEN_TEXT, TOO_WIDE
from test_support import metric, need_browser, result, write_run

REPORT = ""
RUN, NEXT = "20260102T030405Z-0000abcd", "20260102T040405Z-0000abce"
EVENTS = "Number(document.body.dataset.events || 0)"


def line(event, test, second, **more):
    return json.dumps({"event": event, "test": test, "time": f"2026-01-02T03:04:{second:02}Z", "elapsed_s": second, **more}) + "\n"


class Dashboard(unittest.TestCase):
    def setUp(self):
        folder = chromium.TempFolder(prefix="parti-dashboard-")
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.run_folder = write_run(self.root, [], RUN)
        (self.root / "current").write_text(RUN + "\n")
        (self.root / "planned.txt").write_text("A\nB\nC\n")
        self.process = subprocess.Popen([REPORT, "dashboard", self.root, "--port", "0", "--baseline", self.root / "baselines"],
                                        stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.stop)
        said = self.process.stdout.readline().strip()
        self.assertRegex(said, r"^dashboard: http://127\.0\.0\.1:\d+$")
        self.url = said.split()[1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(20), 0)

    def append(self, text):
        with open(self.run_folder / "progress.ndjson", "a", encoding="utf-8") as file:
            file.write(text)

    def ask(self, method, path, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.addCleanup(connection.close)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer

    def raw(self, text):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(text)
            return connection.makefile("rb").readline().decode().strip()


class Page(Dashboard):
    @classmethod
    def setUpClass(cls):
        cls.browser = chromium.Chromium()
        cls.addClassCleanup(cls.browser.close)

    def test_it_follows_a_run(self):
        page = self.browser.open(self.url, width=390, phone=True)
        page.wait_until(f"{EVENTS} >= 2")
        self.assertEqual(page.evaluate("document.getElementById('run').textContent"), "run " + RUN)
        self.assertEqual(page.evaluate("document.getElementById('done').textContent"), "0 of 3")
        seen = page.evaluate(EVENTS)
        self.append(line("begin", "TestScale_Small/3w", 1))
        page.wait_until("document.getElementById('test').textContent === 'TestScale_Small/3w'")
        for second in range(2, 6):
            self.append(line("sample", "TestScale_Small/3w", second, phase=f"launch {second}", workers=3, stable=second % 4, memory_kb=1000 + second,
                             rate_per_s=9.5, rate_of="renewals", left_s=60 - second))
            page.wait_until(f"document.getElementById('phase').textContent === 'launch {second}'")
        self.assertGreaterEqual(page.evaluate(EVENTS) - seen, 5)
        shown = page.evaluate("['elapsed', 'left', 'workers', 'memory', 'rate', 'rate_of'].map(id => document.getElementById(id).textContent)")
        self.assertEqual(shown, ["5 s", "about 55 s", "1 of 3", "1,005 kB", "9.5 /s", "renewals"])
        self.assertEqual(page.evaluate("document.querySelectorAll('#memory_chart .curve').length"), 1)
        curve = page.evaluate("document.querySelector('#memory_chart .curve').getAttribute('d')")
        self.assertEqual(curve.count("L"), 3, curve)
        self.assertNotIn("NaN", page.evaluate("document.body.innerHTML"))
        self.keep(page, "live-phone")

        document = {**result("TestScale_Small/3w", {"rss_anon": metric("anon-memory", "kB", [1000] * 5)}), "run": RUN}
        (self.run_folder / "TestScale_Small.3w.json").write_text(json.dumps(document))
        self.append(line("end", "TestScale_Small/3w", 6, status="passed")[:20])
        self.append(line("end", "TestScale_Small/3w", 6, status="passed")[20:])  # in two pieces, as a reader may find it
        page.wait_until("document.querySelectorAll('#verdicts tr').length === 1")
        self.assertEqual(page.evaluate("document.querySelector('#verdicts tr').innerText.split('\\t')"),
                         ["TestScale_Small/3w", "\u2713 passed", "1", "1 NEW"])
        self.assertEqual(page.evaluate("document.getElementById('done').textContent"), "1 of 3")
        self.assertEqual(page.evaluate(BROKEN_TEXT), "")
        self.assertEqual(page.evaluate(TOO_WIDE), [])
        self.assertLessEqual(page.evaluate("document.scrollingElement.scrollWidth"), 390)
        self.assertEqual({request.split("/")[2] for request in page.requests if not request.startswith("data:")}, {f"127.0.0.1:{self.port}"})
        self.assertEqual(page.complaints, [])

        later = self.browser.open(self.url)  # sees what it missed
        later.wait_until("document.querySelectorAll('#verdicts tr').length === 1")
        self.assertEqual(later.evaluate("document.getElementById('test').textContent"), "TestScale_Small/3w")
        self.assertEqual(later.evaluate("document.querySelector('#memory_chart .curve').getAttribute('d').match(/L/g).length"), 3)
        later.colours("dark")
        self.keep(later, "live-dark")

        write_run(self.root, [], NEXT)
        (self.root / "current").write_text(NEXT + "\n")
        page.wait_until(f"document.getElementById('run').textContent === 'run {NEXT}'")
        self.assertEqual(page.evaluate("document.querySelectorAll('#verdicts tr').length"), 0, "a new run begins with nothing")

    def test_names_are_text(self):
        page = self.browser.open(self.url)
        page.wait_until(f"{EVENTS} >= 2")
        self.append("this is no JSON\n[1]\n" + line("sample", "<img src=x onerror=\"document.title='taken'\">", 1, phase="<b>p</b>"))
        page.wait_until("document.getElementById('test').textContent.includes('<img')")
        self.assertEqual(page.evaluate("document.querySelectorAll('img, b').length"), 0)
        self.assertNotEqual(page.evaluate("document.title"), "taken")

    @staticmethod
    def keep(page, name):
        if folder := os.environ.get("PARTI_KEEP_PICTURES"):
            page.picture(Path(folder) / f"{name}.png")


class Server(Dashboard):
    def test_it_answers_what_it_has_and_refuses_the_rest(self):
        self.assertEqual(self.ask("GET", "/")[:2], (200, "text/html; charset=utf-8"))
        self.assertEqual(self.ask("GET", "/live.js")[:2], (200, "text/javascript; charset=utf-8"))
        self.assertEqual(self.ask("HEAD", "/")[0], 200)
        self.assertEqual(self.ask("GET", "/nothing")[0], 404)
        self.assertEqual(self.ask("POST", "/")[0], 405)
        self.assertEqual(self.ask("GET", "/", Host="evil.example")[0], 403)
        self.assertEqual(self.raw(b"nonsense\r\n\r\n"), "HTTP/1.1 400 Bad Request")
        self.assertEqual(self.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), "HTTP/1.1 400 Bad Request")

    def test_it_listens_on_loopback_only(self):
        listening = [fields.split()[1] for fields in Path("/proc/net/tcp").read_text().splitlines()[1:] if fields.split()[3] == "0A"]
        self.assertEqual([at for at in listening if at.endswith(f":{self.port:04X}")], [f"0100007F:{self.port:04X}"])

    def test_many_readers_and_one_that_does_not_read(self):
        self.append("".join(line("sample", "T", second, memory_kb=second) for second in range(1, 5)))
        readers = [self.ask("GET", "/events") for _ in range(8)]
        for status, kind, _ in readers:
            self.assertEqual((status, kind), (200, "text/event-stream"))
        found = []

        def read(answer):
            while "\"memory_kb\":99" not in (text := answer.readline().decode()) and text:
                pass
            found.append(text)

        threads = [threading.Thread(target=read, args=(reader[2],)) for reader in readers[1:]]  # the first one never reads
        for thread in threads:
            thread.start()
        self.append("".join(line("sample", "T", 1, memory_kb=second) for second in range(1, 100)))
        for thread in threads:
            thread.join(30)
        self.assertEqual(len(found), 7)
        self.assertTrue(all(found), "a reader was cut off")

    def test_who_joins_in_the_middle_gets_each_event_once_and_in_order(self):
        last = 900
        first_told, seen = threading.Event(), []

        def read(answer, joined=None):
            values = []
            while not values or values[-1] != last:
                text = answer.readline().decode()
                if not text:
                    break
                if "memory_kb" in text:
                    values.append(json.loads(text.removeprefix("data: "))["memory_kb"])
                    if joined:
                        joined.set()
            seen.append(values)

        threads = [threading.Thread(target=read, args=(self.ask("GET", "/events")[2], first_told))]
        threads[0].start()
        self.append("".join(line("sample", "T", 1, memory_kb=kb) for kb in range(1, last + 1)))
        self.assertTrue(first_told.wait(30))
        for _ in range(28):  # while the rest is told; 32 may be open
            threads.append(threading.Thread(target=read, args=(self.ask("GET", "/events")[2],)))
            threads[-1].start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(len(seen), len(threads))
        for values in seen:
            self.assertEqual(values, list(range(1, last + 1)))

    def test_a_line_of_another_kind_is_left_out(self):
        self.append('{"event": 3, "test": "T"}\n{"event": ["end"]}\n' + line("sample", "T", 1, memory_kb=7))
        _, _, answer = self.ask("GET", "/events")
        while '"memory_kb":7' not in (text := answer.readline().decode()):
            self.assertTrue(text, "the stream ended")

    def test_it_ends_when_told(self):
        _, _, answer = self.ask("GET", "/events")
        self.process.send_signal(signal.SIGINT)
        self.assertEqual(self.process.wait(20), 0)
        while answer.readline():  # to its end: the stream is closed
            pass

    def test_a_port_that_is_taken_is_said(self):
        second = subprocess.run([REPORT, "dashboard", self.root, "--port", str(self.port)], capture_output=True, text=True, timeout=30)
        self.assertEqual(second.returncode, 100)
        self.assertIn(f"127.0.0.1:{self.port}: cannot listen", second.stderr)
        for wrong in ("70000", "x", ""):
            ended = subprocess.run([REPORT, "dashboard", self.root, "--port", wrong], capture_output=True, text=True, timeout=30)
            self.assertEqual(ended.returncode, 104, wrong)


if __name__ == "__main__":
    REPORT = sys.argv.pop(1)
    need_browser()
    unittest.main(verbosity=2)
