"""Temporary folders that go with their maker, also when it is killed with SIGKILL.

TempFolder(prefix=..., dir=...)   as tempfile.TemporaryDirectory
Standard library and /bin/sh only. Its own test: temp_folder_test.py.
"""
import os
import pathlib
import subprocess
import tempfile

REAPER = pathlib.Path(__file__).resolve().parent.parent / "test" / "testutil" / "folder_reaper.sh"

_reaper = None


def _remove_at_end(path):
    _reaper.stdin.write(os.fsencode(path) + b"\n")
    _reaper.stdin.flush()


def _start():
    global _reaper
    if _reaper is None:
        env = {name: value for name, value in os.environ.items() if name != "PARTI_TEST_TAG"}
        _reaper = subprocess.Popen(["setsid", "-f", "sh", str(REAPER)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=env, cwd="/")
        if _reaper.wait() != 0:
            raise RuntimeError(f"setsid -f sh {REAPER}: exit {_reaper.returncode}")


class TempFolder(tempfile.TemporaryDirectory):
    def __init__(self, **options):
        _start()
        super().__init__(**options)
        _remove_at_end(os.path.abspath(self.name))
