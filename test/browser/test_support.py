"""Made-up runs of the stress suite as files, for the pages' tests, and the start of such a test."""
import json
import os
import sys
from pathlib import Path

import chromium

MACHINE = {"arch": "x86_64", "cpu_model": "A made-up CPU", "nproc": "2", "kernel": "6.1", "libc": "glibc 2.36", "allocator": "glibc", "build_type": "Release",
           "compiler": "gcc 12.2", "sanitizer": "none", "malloc_tunables": "default", "nats_c": "3.4.1", "page_size": "4096", "runner": "local",
           "schema": "parti-stress-result/1", "virt": "kvm"}


def metric(kind, unit, launches, note="", direction="lower", gate=True, stat="median"):
    return {"kind": kind, "unit": unit, "launches": launches, "note": note, "direction": direction, "gate": gate, "stat": stat}


def result(test, metrics, status="passed", details=None, replay=None):
    document = {"schema": "parti-stress-result/1", "run": "", "test": test, "status": status, "started": "2026-01-02T03:04:05Z",
                "finished": "2026-01-02T03:05:05Z", "commit": "0123456789abcdef0123", "dirty": False, "fingerprint": MACHINE,
                "versions": {"suite": "0.1.0", "nats_server": "2.9.10"}, "metrics": {f"{test}/{name}": value for name, value in metrics.items()},
                "protocol": {"launches": 5, "window": "10 renewals", "seed": 18446744073709551615, "mode": "prod",
                             "replay": replay if replay is not None else f"PARTI_SEED=0x1 stress_tests --gtest_filter='{test}'"}}
    if details:
        document["details"] = {"schema": "parti-stress-details/1", **details}
    return document


def write_run(folder, results, run="20260102T030405Z-0000abcd"):
    """A run folder; its path."""
    folder = Path(folder) / run
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"schema": "parti-stress-run/1", "run": run, "started": "2026-01-02T03:04:05Z",
                                                 "commit": "0123456789abcdef0123", "dirty": False, "fingerprint": MACHINE}))
    for number, document in enumerate(results):
        (folder / f"{number:03}.json").write_text(json.dumps({**document, "run": run}))
    return folder


def need_browser():
    """Ends the test as skipped, saying why, where there is no browser. PARTI_NEED_BROWSER=1 makes that a failure."""
    if chromium.Chromium.find() is None:
        print("no chromium on this machine (apt-get install chromium, or PARTI_CHROMIUM=/path): the page was not looked at by a browser")
        sys.exit(1 if os.environ.get("PARTI_NEED_BROWSER") == "1" else chromium.SKIPPED)
