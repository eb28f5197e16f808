#!/usr/bin/env python3
"""The report's HTML page, as a real browser sees it: every metric with its value, nothing broken, nothing asked for, no overflow.

Usage: report_page_test.py STRESS_REPORT [unittest arguments]. PARTI_KEEP_PICTURES=FOLDER keeps pictures of each page there.
Exit 77: there is no browser (see test_support.need_browser).
"""
import html as html_text
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import chromium
from test_support import metric, need_browser, result, write_run

REPORT = ""
HOSTILE = "<script>document.title='taken'</script> & \"quoted\" 'single' | pipe \u202e \x07 </td></table>"

# What of every page is checked, in the page: pieces of text nobody should read, and what is wider than the window.
BROKEN_TEXT = "(document.body.innerText.match(/NaN|undefined|Infinity|\\binf\\b|\\bnull\\b|\\[object/) || []).join(' ')"
TOO_WIDE = """[...document.querySelectorAll('body *')].filter(e => !e.closest('svg') && e.getBoundingClientRect().right > innerWidth + 0.5)
              .map(e => e.tagName + '.' + e.className + ': ' + e.innerText.slice(0, 60))"""
EMPTY_CHARTS = """[...document.querySelectorAll('svg')].filter(s => !s.querySelector('circle, path, .median') || s.getBoundingClientRect().height < 40)
                  .map(s => s.getAttribute('aria-label'))"""
# Marks of a chart that lie outside its drawing, or whose place is no number.
LOST_MARKS = """[...document.querySelectorAll('svg circle, svg line, svg path, svg text')].filter(m => {
    const box = m.closest('svg').getBoundingClientRect(), at = m.getBoundingClientRect();
    return /NaN|inf/.test(m.outerHTML) || at.left < box.left - 2 || at.right > box.right + 2 || at.top < box.top - 2 || at.bottom > box.bottom + 2;
}).map(m => m.closest('svg').getAttribute('aria-label').slice(0, 60) + ': ' + m.outerHTML)"""
METRICS = """Object.fromEntries([...document.querySelectorAll('table.metrics')].flatMap(t => [...t.tBodies[0].rows].map(r =>
    [t.dataset.test + '/' + r.cells[0].firstChild.textContent, r.cells[1].firstChild.textContent])))"""
TEXTS_IN_VIEW = "document.body.innerText"


def shown(value):
    """The value as this test expects it on the page, computed here from the result file."""
    if not value["launches"]:
        return "not measured"
    middle = statistics.median(value["launches"])
    text = f"{middle:,.0f}" if middle == int(middle) else (f"{middle:,.3f}" if abs(middle) < 10 else f"{middle:,.1f}")
    return text + {"count": "", "ratio": "", "per_s": " /s"}.get(value["unit"], " " + value["unit"])


def memory_test(name, around, seed):
    chance = random.Random(seed)
    launches = [round(around * chance.gauss(1, 0.01)) for _ in range(5)]
    return result(f"TestMemoryBenchmark_IsolatedParti/{name}", {
        "rss_anon": metric("anon-memory", "kB", launches),
        "live_heap": metric("anon-memory", "kB", [launch // 3 for launch in launches]),
        "threads": metric("exact", "count", [5] * 5),
        "threads_by_name": metric("advisory", "count", [3] * 5, note="nats_c x3, parti x2"),
        "startup": metric("duration", "ms", [412, 409, 415, 410, 1203]),
        "assignment": metric("duration", "ms", [520, 521, 533, 519, 522]),
        "server_in": metric("advisory", "per_s", [33.25, 33.5, 34.125, 33, 33.75]),
        "contaminated": metric("advisory", "count", [0, 1, 0, 0, 0], note="busy machine (wall/cpu 1.43); "),
    }, details={"series": [{"name": "rss_anon", "unit": "kB", "times": [100 * i for i in range(40)],
                            "values": [min(around, 400 + 180 * i) + chance.randrange(9) for i in range(40)],
                            "note": "first launch, from the start of the workers; the measured window begins at 1480 ms"}],
                "environment": {"memory available": "20.4 GB", "load average": "0.31 0.20 0.11 1/208 4242"}})


def full_run():
    slope = result("TestMemoryBenchmark_PerWorkerOverhead", {
        "rss_anon_per_worker": metric("anon-memory", "bytes", [22941, 23044, 22878, 23102, 22950], stat="slope"),
        "rss_anon_first_worker": metric("anon-memory", "kB", [1011, 1013, 1010, 1015, 1012], stat="intercept + slope"),
    }, details={"fits": [{"name": "rss_anon", "x": "workers", "unit": "kB", "intercept": 990.5, "slope": 22.4, "bound": 0.41, "residual": 0.013,
                          "points": [[w, 990 + 22.4 * w + d] for w in (1, 5, 10, 20, 30) for d in (-9, -2, 0, 4, 11)]}]})
    latency = result("TestScenario_EndToEndLatency", {
        "p50": metric("advisory", "us", [412], gate=False), "p99": metric("advisory", "us", [2911], gate=False),
        "lost": metric("exact", "count", [0]), "recovery": metric("advisory", "ms", [], note="the burst was too short"),
    }, details={"distributions": [{"name": "publish_to_handled", "unit": "us", "n": 10400, "percentiles": {"50": 412, "95": 1150, "99": 2911, "99.9": 8120, "100": 15231}}],
                "anomalies": [{"time": "2026-01-02T03:04:41Z", "text": "nats-server took 1.2 s to answer", "excerpt": "[WRN] slow\n" + HOSTILE}]})
    breaking = result("TestScenario_BreakingPoint", {"carried": metric("advisory", "per_s", [24000], note="latency p99 310 ms > 250 ms", direction="higher")})
    leak = result("TestMemoryBenchmark_ExactLeak", {"bytes_per_cycle": metric("advisory", "bytes", [0], note="median change of the live heap")})
    return [memory_test("1w_100p", 1090, 1), memory_test("10w_100p", 1300, 2), memory_test("50w_500p", 15834, 3), slope, latency, breaking, leak]


class ReportPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = chromium.TempFolder(prefix="parti-report-page-")
        cls.browser = chromium.Chromium()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.addClassCleanup(cls.browser.close)

    def make(self, results, *options):
        folder = write_run(tempfile.mkdtemp(dir=self.folder.name), results)
        html, markdown = folder / "report.html", folder / "report.md"
        if "--baseline" not in options:
            options += ("--baseline", tempfile.mkdtemp(dir=self.folder.name))  # there is none
        ended = subprocess.run([REPORT, "report", folder, "--html", html, "--markdown", markdown, *options], capture_output=True, text=True, timeout=60)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return html, markdown.read_text(), ended.stdout

    def keep(self, page, name):
        if folder := os.environ.get("PARTI_KEEP_PICTURES"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.picture(Path(folder) / f"{name}.png")

    def look(self, html, results, name):
        """Opens the page on a desktop, in the dark and on a phone; the desktop's text."""
        expected = {key: shown(value) for document in results for key, value in document["metrics"].items()}
        text = None
        for width, scheme in ((1200, "light"), (1200, "dark"), (390, "light")):
            page = self.browser.open(html.as_uri(), width=width, phone=width < 500)
            page.colours(scheme)
            where = f"{name}, {width} px, {scheme}"
            self.assertEqual(page.evaluate(METRICS), expected, where)
            self.assertEqual(page.evaluate(BROKEN_TEXT), "", where)
            self.assertEqual(page.evaluate(EMPTY_CHARTS), [], where)
            self.assertEqual(page.evaluate(LOST_MARKS), [], where)
            self.assertEqual(page.evaluate("document.querySelectorAll('script').length"), 0, where)
            self.assertNotIn("taken", page.evaluate("document.title"), where)
            self.assertEqual(page.requests, [html.as_uri()], f"{where}: the page asked for something")
            self.assertEqual(page.complaints, [], where)
            self.assertEqual(page.evaluate(TOO_WIDE), [], where)
            self.assertLessEqual(page.evaluate("document.scrollingElement.scrollWidth"), width, where)
            self.assertTrue(self.readable(page), f"{where}: text and background are too alike")
            self.keep(page, f"{name}-{width}-{scheme}")
            text = text or page.evaluate(TEXTS_IN_VIEW)
        return text

    @staticmethod
    def readable(page):
        """Contrast of text and page as WCAG computes it, at least 4.5 for each kind of text."""
        return page.evaluate("""(() => {
            const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                                 return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
            const back = light(getComputedStyle(document.body).backgroundColor);
            return [...document.querySelectorAll('p, td, th, h1, h2, h3, .note, .badge:not(.fail), svg text, dt, dd')].every(e => {
                const style = getComputedStyle(e), ink = light(e.closest('svg') ? style.fill : style.color);
                return (Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05) >= 4.5; }); })()""")

    def test_a_full_run_has_every_metric_and_every_section(self):
        results = full_run()
        html, markdown, said = self.make(results)
        text = self.look(html, results, "full")
        for section in ("Acceptance", "Environment", "Memory", "Latency", "Scaling", "Leaks", "Contamination", "Bottleneck and capacity", "Anomalies",
                        "History", "Profiles", "Every metric", "Replay"):
            self.assertIn(section, text)
            self.assertIn(section, markdown)
        self.assertIn("All 7 tests passed", text)
        self.assertIn("All 7 tests passed", said)
        self.assertIn("latency p99 310 ms > 250 ms", text)
        self.assertIn("22.4 kB", text)
        self.assertIn("PARTI_SEED=0x1 stress_tests", text)
        self.assertIn(HOSTILE.split()[0], text)  # shown, not run
        page = self.browser.open(html.as_uri())
        charts = page.evaluate("[...document.querySelectorAll('svg')].map(s => s.getAttribute('aria-label'))")
        self.assertEqual(len(charts), 10, charts)
        for document in results:
            for key in document["metrics"]:
                self.assertIn(key.rsplit("/", 1)[1], markdown)
        self.assertNotIn("<script", markdown)

    def test_profiles_are_linked_and_lasting_changes_are_shown(self):
        results = full_run()[:2]
        root = Path(tempfile.mkdtemp(dir=self.folder.name))
        folder = write_run(root, results)
        (root / "current").write_text(folder.name + "\n")
        kept = folder / "profiles" / "TestMemoryBenchmark_IsolatedParti.Launches.10w_100p.cpu"
        kept.mkdir(parents=True)
        (kept / "cpu-7.txt").write_text("50 % hot_function")
        (kept / "profile.json").write_text(json.dumps({
            "schema": "parti-profile/1", "test": "TestMemoryBenchmark_IsolatedParti.Launches/10w_100p", "kind": "cpu", "tool": "perf 6.1", "exit_code": 0,
            "processes": [{"text": "cpu-7.txt", "data": "cpu-7.data", "arguments": "--workers 10 " + HOSTILE},
                          {"text": "../../../report.html", "data": "none", "arguments": "--workers 1"}]}))
        broken = folder / "profiles" / "Broken.heap"
        broken.mkdir()
        (broken / "profile.json").write_text('{"schema": "parti-profile/9"}')
        values = [1300 + i % 3 for i in range(20)] + [1430 + i % 3 for i in range(20)]
        (root / "history.ndjson").write_text("".join(json.dumps({
            "schema": "parti-stress-session/1", "run": f"night-{i}", "started": f"2026-{1 + i // 28:02}-{1 + i % 28:02}T02:17:00Z", "commit": "c" * 40, "dirty": False,
            "class": "x86_64", "metrics": {"TestMemoryBenchmark_IsolatedParti/10w_100p/rss_anon": {
                "unit": "kB", "kind": "anon-memory", "direction": "lower", "median": value, "n": 5, "how": "nightly"}}}) + "\n" for i, value in enumerate(values)))
        html, markdown = root / "report.html", root / "summary.md"
        ended = subprocess.run([REPORT, "report", root, "--html", html, "--markdown", markdown, "--baseline", tempfile.mkdtemp(dir=self.folder.name)],
                               capture_output=True, text=True, timeout=60)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        text = self.look(html, results, "extras")
        for page in (text, html_text.unescape(markdown.read_text().replace("\\", ""))):
            self.assertIn("1 lasting change in 1 series of up to 40 sessions", page)
            self.assertIn("worse: +10.0 % since 2026-01-21T02:17:00Z (commit cccccccccccc): 1301.0 kB -> 1431.0 kB", page)
            self.assertIn("TestMemoryBenchmark_IsolatedParti.Launches/10w_100p, cpu", page.replace("\u200b", ""))
            self.assertIn("parti-profile/9", page)
        self.assertIn("its files are gone", text)
        links = self.browser.open(html.as_uri()).evaluate("[...document.querySelectorAll('#profiles a')].map(a => a.href)")
        self.assertEqual(links, [(kept / "cpu-7.txt").as_uri()], "only what is there, and only from its own folder")
        self.assertIn(f"(20260102T030405Z-0000abcd/profiles/{kept.name}/cpu-7.txt)", markdown.read_text())
        (root / "history.ndjson").write_text("[]\n")
        refused = subprocess.run([REPORT, "report", root, "--html", html], capture_output=True, text=True, timeout=60)
        self.assertEqual((refused.returncode, True), (104, "history.ndjson:1" in refused.stderr), refused.stderr)

    def test_an_empty_run_says_what_to_do(self):
        html, markdown, _ = self.make([])
        text = self.look(html, [], "empty")
        self.assertIn("Nothing was measured", text)
        self.assertIn("make stress", text)
        self.assertIn("not measured", markdown)

    def test_a_failed_run_names_the_tests_first(self):
        results = full_run()
        results[1]["status"], results[2]["status"] = "failed", "started"
        results[2]["metrics"] = {}
        results[2].pop("details")
        html, _, said = self.make(results)
        text = self.look(html, results, "failed")
        sentence = "1 test failed: TestMemoryBenchmark_IsolatedParti/10w_100p; 1 test did not finish: TestMemoryBenchmark_IsolatedParti/50w_500p."
        self.assertIn(sentence, text)
        self.assertTrue(said.startswith("FAIL: " + sentence), said)
        self.assertLess(text.index(sentence), text.index("Acceptance"))

    def test_a_regression_is_named_with_its_size(self):
        before, now = full_run(), full_run()
        worse = now[2]["metrics"]["TestMemoryBenchmark_IsolatedParti/50w_500p/rss_anon"]
        worse["launches"] = [round(launch * 1.2) for launch in worse["launches"]]
        baseline = Path(tempfile.mkdtemp(dir=self.folder.name)) / "baseline.json"
        runs = [write_run(tempfile.mkdtemp(dir=self.folder.name), before, f"20260101T000000Z-0000000{i}") for i in range(3)]
        made = subprocess.run([REPORT, "promote", "--reason", "test", "--baseline", baseline, *sum((["--from", run] for run in runs), [])],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(made.returncode, 0, made.stderr + made.stdout)
        html, markdown, said = self.make(now, "--baseline", baseline)
        text = self.look(html, now, "regression")
        self.assertIn("1 metric is worse than the baseline: TestMemoryBenchmark_IsolatedParti/50w_500p/rss_anon (+", text)
        self.assertIn("\u2715 FAIL", text)  # also readable without colour
        self.assertTrue(said.startswith("FAIL"), said)
        self.assertIn("**\u2715 FAIL**", markdown)
        same, _, _ = self.make(before, "--baseline", baseline)
        self.assertIn("is worse than the baseline", self.look(same, before, "same"))
        self.assertIn("\u2713 PASS", self.browser.open(same.as_uri()).evaluate(TEXTS_IN_VIEW))

    def test_one_test(self):
        results = full_run()[:1]
        html, _, _ = self.make(results)
        self.assertIn("The only test passed", self.look(html, results, "one"))

    def test_two_hundred_metrics_and_hostile_text(self):
        chance = random.Random(7)
        long_name = "a_metric_with_a_very_long_name_that_has_no_place_to_break_" + "x" * 90
        results = [result(f"TestScale_Made/{t}w_{'p' * 60}", {
            (long_name if t == m == 0 else f"metric_{m}"): metric("advisory", chance.choice(["kB", "us", "ms", "count", "bytes"]),
                                                                  [chance.randrange(10 ** chance.randrange(1, 12)) for _ in range(chance.randrange(1, 6))],
                                                                  note=HOSTILE if m % 7 == 0 else "") for m in range(20)},
            replay=HOSTILE, details={"environment": {HOSTILE: HOSTILE}, "anomalies": [{"time": HOSTILE, "text": HOSTILE, "excerpt": "y" * 3000}],
                                     "series": [{"name": "flat", "unit": "kB", "times": [0], "values": [0]}],
                                     "fits": [{"name": "down", "x": HOSTILE, "unit": "ms", "intercept": -5, "slope": -2, "residual": 0, "points": [[1, -7], [2, -9]]}],
                                     "distributions": [{"name": "zero", "unit": "us", "n": 1, "percentiles": {"50": 0, "100": 3}}]}) for t in range(10)]
        html, markdown, _ = self.make(results)
        self.assertIn("because there is no baseline", self.look(html, results, "many"))
        outside_code = "\n".join(text for text in markdown.splitlines() if not text.startswith("    "))
        self.assertNotIn("<script", outside_code)

    def test_it_prints(self):
        html, _, _ = self.make(full_run())
        page = self.browser.open(html.as_uri())
        file = Path(os.environ.get("PARTI_KEEP_PICTURES", self.folder.name)) / "full.pdf"
        file.parent.mkdir(parents=True, exist_ok=True)
        page.print_pdf(file)
        self.assertTrue(file.read_bytes().startswith(b"%PDF"))
        page.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.assertEqual(page.evaluate("getComputedStyle(document.querySelector('nav')).display"), "none")
        self.assertEqual(page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()"), "#fff", "paper is white in the dark too")


class Nothing(unittest.TestCase):
    def test_of_the_browser_is_left(self):
        with chromium.Chromium() as browser:
            self.assertEqual(browser.open("data:text/html,<title>here</title>").evaluate("document.title"), "here")
            profile = browser.profile
            self.assertNotEqual(browser.group(), [])
        self.assertEqual(browser.group(), [])
        self.assertFalse(os.path.exists(profile))

    def test_a_request_is_noticed(self):
        """The check that a page asks for nothing must be able to fail."""
        with chromium.TempFolder() as folder, chromium.Chromium() as browser:
            file = Path(folder) / "asks.html"
            file.write_text("<img src='http://127.0.0.1:9/picture.png'><p>NaN</p><svg></svg><p style='width:500px'>wide</p>")
            page = browser.open(file.as_uri(), width=390)
            self.assertIn("http://127.0.0.1:9/picture.png", page.requests)
            self.assertEqual(page.evaluate(BROKEN_TEXT), "NaN")
            self.assertEqual(len(page.evaluate(EMPTY_CHARTS)), 1)
            self.assertEqual(len(page.evaluate(TOO_WIDE)), 1)
            self.assertGreater(page.evaluate("document.scrollingElement.scrollWidth"), 390)


if __name__ == "__main__":
    REPORT = sys.argv.pop(1)
    need_browser()
    unittest.main(verbosity=2)
