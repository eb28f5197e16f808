#!/usr/bin/env python3
"""Tests tools/github.py against a GitHub of its own on the loopback interface."""
import contextlib
import datetime
import http.server
import io
import json
import pathlib
import re
import threading
import unittest
import unittest.mock
import urllib.parse

import github
import temp_folder

REPOSITORY = "someone/parti"
ME = {"login": "github-actions[bot]"}


class Fake(http.server.BaseHTTPRequestHandler):
    """comments, issues and runs in memory; `refuse` is a status for every write."""

    def log_message(self, *_):
        pass

    def answer(self):
        path, _, query = self.path.partition("?")
        path = path.removeprefix(f"/repos/{REPOSITORY}/")
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        state = self.server.state
        state["calls"].append((self.command, path))
        if self.headers["Authorization"] != "Bearer secret":
            return 401, {"message": "Bad credentials"}
        if self.command != "GET" and state["refuse"]:
            return state["refuse"], {"message": "Resource not accessible by integration"}
        page = int((re.search(r"\bpage=(\d+)", query) or [0, 1])[1])
        if path == "actions/workflows/stress-nightly.yml/runs":
            asked = dict(urllib.parse.parse_qsl(query))
            return 200, {"workflow_runs": [r for r in state["runs"] if r["event"] == asked.get("event", r["event"])]}
        if self.command == "GET":
            return 200, (state["issues"] if path == "issues" else state["comments"])[(page - 1) * 100:page * 100]
        if path == "pulls":
            state["pulls"].append(body)
            return 201, {"html_url": "https://example.org/pull/9"}
        if path == "issues":
            state["issues"].append(body | {"number": 41, "user": ME})
            return 201, state["issues"][-1]
        number = int(re.search(r"\d+", path)[0])
        if self.command == "PATCH" and path.startswith("issues/comments/"):
            next(c for c in state["comments"] if c["id"] == number).update(body)
        elif self.command == "PATCH":
            next(i for i in state["issues"] if i["number"] == number).update(body)
        else:
            state["comments"].append(body | {"id": 1000 + len(state["comments"]), "user": ME})
        return 200, {}

    def do(self):
        code, body = self.answer()
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do


class GitHub(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fake)
        self.state = self.server.state = {"calls": [], "refuse": 0, "comments": [], "issues": [], "runs": [], "pulls": []}
        thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        folder = temp_folder.TempFolder(prefix="parti-github-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.report = self.folder / "summary.md"
        self.report.write_text("| metric | PASS |\n")
        self.event(REPOSITORY)

    def event(self, head):
        self.write_event({"pull_request": {"number": 7, "head": {"repo": {"full_name": head} if head else None}}})

    def write_event(self, event):
        (self.folder / "event.json").write_text(json.dumps(event))

    def run_tool(self, *arguments, **more):
        env = {"GITHUB_TOKEN": "secret", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
               "GITHUB_API_URL": f"http://127.0.0.1:{self.server.server_port}", "GITHUB_REF_NAME": "main"} | more
        out = io.StringIO()
        with unittest.mock.patch.dict("os.environ", env, clear=True), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = github.main(list(map(str, arguments)))
        return code, out.getvalue()

    def comment(self, **more):
        return self.run_tool("comment", self.report, **more)

    def test_comment_is_written_once_and_then_replaced(self):
        self.state["comments"] = [{"id": i, "body": f"{i}: {github.COMMENT_MARK}", "user": ME} for i in range(120)]
        self.assertEqual((0, "comment: written in pull request 7\n"), self.comment())
        self.report.write_text("| metric | FAIL |\n")
        self.assertEqual((0, "comment: replaced in pull request 7\n"), self.comment())
        mine = [c["body"] for c in self.state["comments"] if c["body"].startswith(github.COMMENT_MARK)]
        self.assertEqual([f"{github.COMMENT_MARK}\n| metric | FAIL |\n"], mine)
        self.assertEqual(121, len(self.state["comments"]))

    def test_what_others_wrote_with_its_mark_is_left_alone(self):
        others = [{"id": 1, "number": 1, "body": mark + " quoted", "user": user} for user in ({"login": "someone"}, None)
                  for mark in (github.COMMENT_MARK, github.STALE_MARK)]
        self.state["comments"], self.state["issues"] = list(others), list(others)
        self.comment()
        self.assertEqual(1, self.run_tool("stale")[0])
        for kind in ("comments", "issues"):
            self.assertEqual(others, self.state[kind][:4])
            self.assertEqual([ME], [entry["user"] for entry in self.state[kind][4:]])

    def test_comment_of_a_fork_is_skipped_with_the_reason(self):
        for head in ("stranger/parti", None):
            self.event(head)
            code, out = self.comment()
            self.assertEqual(0, code)
            self.assertIn("skipped, the pull request comes from the fork", out)
        self.assertEqual([], self.state["calls"])

    def test_comment_without_a_pull_request_is_skipped(self):
        self.write_event({"schedule": "17 2 * * *"})
        self.assertEqual((0, "comment: skipped, this run belongs to no pull request\n"), self.comment())

    def test_comment_with_a_token_that_may_not_write_is_skipped(self):
        self.state["refuse"] = 403
        code, out = self.comment()
        self.assertEqual(0, code)
        self.assertIn("may not write", out)
        code, out = self.comment(GITHUB_TOKEN="other")
        self.assertEqual(0, code)
        self.assertIn("401", out)

    def test_comment_fails_when_github_is_broken(self):
        self.state["refuse"] = 500
        code, out = self.comment()
        self.assertEqual(1, code)
        self.assertIn("500", out)
        self.assertEqual(1, self.comment(GITHUB_API_URL="http://127.0.0.1:1")[0])

    def test_long_comment_is_cut_off(self):
        self.report.write_text("x" * 70_000)
        self.comment()
        self.assertLess(len(self.state["comments"][0]["body"]), 65_536)
        self.assertIn("cut off", self.state["comments"][0]["body"])

    def ended(self, hours, event="schedule"):
        at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=hours)
        run = {"updated_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "html_url": "https://example.org/run/1", "event": event}
        self.state["runs"].insert(0, run)

    def test_fresh_nightly_passes(self):
        self.ended(47)
        self.assertEqual(0, self.run_tool("stale")[0])
        self.assertEqual([], self.state["issues"])

    def test_stale_nightly_fails_and_opens_one_issue(self):
        self.state["issues"] = [{"number": 1, "title": "other", "body": None, "user": ME},
                                {"number": 2, "body": github.STALE_MARK, "user": ME, "pull_request": {}}]
        self.ended(49)
        self.assertEqual(1, self.run_tool("stale")[0])
        code, out = self.run_tool("stale")
        self.assertEqual(1, code)
        self.assertIn("issue 41 is open already", out)
        self.assertEqual(3, len(self.state["issues"]))
        self.assertIn("49 hours ago", self.state["issues"][-1]["body"])
        self.assertEqual(0, self.run_tool("stale", STALE_HOURS="50")[0])

    def test_run_by_hand_does_not_silence_it(self):
        self.ended(49)
        self.ended(1, event="workflow_dispatch")
        code, out = self.run_tool("stale")
        self.assertEqual(1, code)
        self.assertIn("49 hours ago", out)

    def test_nightly_that_never_succeeded_is_stale(self):
        code, out = self.run_tool("stale")
        self.assertEqual(1, code)
        self.assertIn("ever succeeded", out)

    def test_fresh_nightly_closes_the_issue(self):
        self.ended(100)
        self.run_tool("stale")
        self.ended(1)
        self.assertEqual(0, self.run_tool("stale")[0])
        self.assertEqual("closed", self.state["issues"][0]["state"])

    def test_pull(self):
        code, out = self.run_tool("pull", "baseline-1", "A new baseline", self.report)
        self.assertEqual((0, "pull: opened https://example.org/pull/9\n"), (code, out))
        self.assertEqual([{"title": "A new baseline", "head": "baseline-1", "base": "main", "body": "| metric | PASS |\n"}], self.state["pulls"])
        self.state["refuse"] = 403
        code, out = self.run_tool("pull", "baseline-1", "t", self.report, GITHUB_SERVER_URL="https://git.example.org")
        self.assertEqual(1, code)
        self.assertIn("open it by hand: https://git.example.org/someone/parti/compare/main...baseline-1?expand=1\n", out)
        self.assertIn("'Allow GitHub Actions to create and approve pull requests'", out)
        self.state["refuse"] = 422
        code, out = self.run_tool("pull", "b", "t", self.report)
        self.assertEqual((1, False), (code, "by hand" in out), out)

    def test_usage(self):
        self.assertEqual(104, self.run_tool()[0])
        self.assertEqual(104, self.run_tool("comment")[0])
        self.assertEqual(104, self.run_tool("stale", GITHUB_TOKEN="")[0])


if __name__ == "__main__":
    unittest.main()
