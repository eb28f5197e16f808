#!/usr/bin/env python3
"""Tests of temp_folder.py: a folder goes with its maker, whichever way that ends."""
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

import temp_folder

HOLDER = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import temp_folder
outer = temp_folder.TempFolder(prefix="parti-holder-")
inner = temp_folder.TempFolder(prefix="a folder ", dir=outer.name)
(pathlib.Path(inner.name) / "file").write_text("x")
print(outer.name, flush=True)
sys.stdin.readline()
"""
DEADLINE = 20


def gone(path):
    """Looks until it is, or for DEADLINE seconds."""
    end = time.monotonic() + DEADLINE
    while os.path.exists(path):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)  # between two looks
    return True


class TempFolderTest(unittest.TestCase):
    def hold(self):
        """A process that has made two folders, one in the other; and the outer one."""
        tools = str(pathlib.Path(temp_folder.__file__).resolve().parent)
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, tools], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.stdin.close)
        folder = holder.stdout.readline().strip()
        self.assertTrue(os.path.isdir(folder), folder)
        self.assertIn("parti-holder-", folder)
        return holder, folder

    def test_goes_when_its_maker_is_killed(self):
        holder, folder = self.hold()
        holder.send_signal(signal.SIGKILL)
        self.assertTrue(gone(folder), folder)

    def test_goes_when_its_maker_ends(self):
        holder, folder = self.hold()
        holder.stdin.write("\n")
        holder.stdin.flush()
        self.assertEqual(holder.wait(DEADLINE), 0)
        self.assertTrue(gone(folder), folder)

    def test_one_makers_end_leaves_the_others_folder(self):
        first, folder = self.hold()
        _, other = self.hold()
        first.kill()
        self.assertTrue(gone(folder), folder)
        self.assertTrue(os.path.isdir(other), other)

    def test_goes_with_its_block(self):
        with temp_folder.TempFolder(prefix="parti-block-") as folder:
            self.assertTrue(os.path.isdir(folder))
        self.assertFalse(os.path.exists(folder))


if __name__ == "__main__":
    unittest.main()
