#!/usr/bin/env python3
"""What the workflows tell GitHub. Each command prints what it did, or why it did not.

github.py comment FILE      puts FILE into the pull request as one comment, which later runs replace (found by a hidden marker)
github.py stale             opens an issue, and fails, when the last successful scheduled nightly run on main is older than
                            STALE_HOURS (48); closes it later. A run by hand counts for nothing: it may have been one test
github.py pull BRANCH TITLE FILE    opens a pull request from BRANCH, which was pushed, into the current branch; FILE is its text

From the environment, as GitHub Actions sets it: GITHUB_TOKEN, GITHUB_REPOSITORY, GITHUB_EVENT_PATH, GITHUB_API_URL,
GITHUB_SERVER_URL, GITHUB_REF_NAME.
Exit codes: 0 done, or rightly not done (a fork's token may not write), 1 stale or refused, 104 usage. Standard library only.
"""
import datetime
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

COMMENT_MARK = "<!-- parti: stress report -->"
STALE_MARK = "<!-- parti: stale nightly -->"
NIGHTLY = "stress-nightly.yml"
ME = "github-actions[bot]"  # whose GITHUB_TOKEN is; nobody else can have this name
COMMENT_MAX = 60_000  # GitHub takes 65,536 characters
TIMEOUT_S = 30


class Refused(Exception):
    """GitHub said no."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def call(method, path, body=None):
    url = f"{os.environ.get('GITHUB_API_URL', 'https://api.github.com')}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}"
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Accept", "application/vnd.github+json")
    request.add_header("Authorization", f"Bearer {os.environ['GITHUB_TOKEN']}")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[:300]
        raise Refused(error.code, f"{method} {path}: {error.code} {said}") from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise Refused(0, f"{method} {path}: {error}") from None


def all_of(path):
    """Every page of a list."""
    page = 1
    while True:
        part = call("GET", f"{path}{'&' if '?' in path else '?'}per_page=100&page={page}")
        yield from part
        if len(part) < 100:
            return
        page += 1


def is_mine(entry, mark):
    """A comment or an issue: anyone may quote the mark."""
    return (entry.get("user") or {}).get("login") == ME and (entry["body"] or "").startswith(mark)


def comment(file):
    event = json.loads(pathlib.Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    pull = event.get("pull_request")
    if pull is None:
        print("comment: skipped, this run belongs to no pull request")
        return 0
    head = (pull["head"].get("repo") or {}).get("full_name")
    if head != os.environ["GITHUB_REPOSITORY"]:
        print(f"comment: skipped, the pull request comes from the fork {head}, whose runs get a token that may not write")
        return 0
    text = pathlib.Path(file).read_text(encoding="utf-8")
    if len(text) > COMMENT_MAX:
        text = text[:COMMENT_MAX] + "\n\n(cut off; the whole report is among the run's artifacts)"
    body = {"body": f"{COMMENT_MARK}\n{text}"}
    try:
        mine = next((c for c in all_of(f"issues/{pull['number']}/comments") if is_mine(c, COMMENT_MARK)), None)
        if mine:
            call("PATCH", f"issues/comments/{mine['id']}", body)
        else:
            call("POST", f"issues/{pull['number']}/comments", body)
    except Refused as refused:
        if refused.code in (401, 403):
            print(f"comment: skipped, the token may not write: {refused}")
            return 0
        raise
    print(f"comment: {'replaced' if mine else 'written'} in pull request {pull['number']}")
    return 0


def stale():
    hours_max = float(os.environ.get("STALE_HOURS", "48"))
    runs = call("GET", f"actions/workflows/{NIGHTLY}/runs?branch=main&event=schedule&status=success&per_page=1")["workflow_runs"]
    if runs:
        finished = datetime.datetime.fromisoformat(runs[0]["updated_at"].replace("Z", "+00:00"))
        hours = (datetime.datetime.now(datetime.timezone.utc) - finished).total_seconds() / 3600
        what = f"The last successful scheduled run of {NIGHTLY} ended {hours:.0f} hours ago: {runs[0]['html_url']}"
    else:
        hours = float("inf")
        what = f"No scheduled run of {NIGHTLY} on main has ever succeeded."
    issue = next((i for i in all_of("issues?state=open") if "pull_request" not in i and is_mine(i, STALE_MARK)), None)
    print(what)
    if hours <= hours_max:
        if issue:
            call("POST", f"issues/{issue['number']}/comments", {"body": what})
            call("PATCH", f"issues/{issue['number']}", {"state": "closed"})
            print(f"stale: issue {issue['number']} closed")
        return 0
    if issue:
        print(f"stale: issue {issue['number']} is open already")
    else:
        body = f"{STALE_MARK}\n{what}\n\nUntil one succeeds, regressions are not noticed (limit: {hours_max:.0f} hours)."
        issue = call("POST", "issues", {"title": "The nightly stress run is stale", "body": body})
        print(f"stale: issue {issue['number']} opened")
    return 1


def pull(branch, title, file):
    body = pathlib.Path(file).read_text(encoding="utf-8")
    base = os.environ["GITHUB_REF_NAME"]
    try:
        made = call("POST", "pulls", {"title": title, "head": branch, "base": base, "body": body})
    except Refused as refused:
        if refused.code == 403:
            home = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
            print(f"pull: nothing is lost, the branch is pushed; open it by hand: {home}/compare/{base}...{branch}?expand=1\n"
                  "pull: the next time: Settings, Actions, General, 'Allow GitHub Actions to create and approve pull requests'")
        raise
    print(f"pull: opened {made['html_url']}")
    return 0


def main(arguments):
    commands = {"comment": (comment, 1), "stale": (stale, 0), "pull": (pull, 3)}
    command, count = commands.get(arguments[0] if arguments else "", (None, 0))
    if command is None or len(arguments) != count + 1:
        print(__doc__, file=sys.stderr)
        return 104
    missing = [name for name in ("GITHUB_TOKEN", "GITHUB_REPOSITORY") if not os.environ.get(name)]
    if missing:
        print(f"github.py: {' and '.join(missing)} must be set: this runs in GitHub Actions", file=sys.stderr)
        return 104
    try:
        return command(*arguments[1:])
    except Refused as refused:
        print(f"github.py: {refused}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
