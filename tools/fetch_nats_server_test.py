#!/usr/bin/env python3
"""Tests tools/fetch-nats-server.sh and with-new-nats-server.sh with a fake apt-get that builds a real package. Nothing is downloaded."""
import os
import pathlib
import subprocess
import unittest

import temp_folder

TOOLS = pathlib.Path(__file__).parent.resolve()

APT = r"""#!/bin/bash
echo "$@" >>"$FAKE/apt.log"
case " $* " in
    *" update "*) [[ ! -e $FAKE/offline ]]; exit ;;
    *" download "*)
        mkdir -p "$FAKE/package/DEBIAN" "$FAKE/package/usr/sbin"
        printf 'Package: nats-server\nVersion: 2.15.1-1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: fake\n' \
            >"$FAKE/package/DEBIAN/control"
        printf '#!/bin/sh\necho "%s"\n' "$(cat "$FAKE/says")" >"$FAKE/package/usr/sbin/nats-server"
        chmod 755 "$FAKE/package/usr/sbin/nats-server"
        dpkg-deb --root-owner-group --build "$FAKE/package" nats-server_2.15.1-1_all.deb ;;
esac
"""


class Fetch(unittest.TestCase):
    def setUp(self):
        folder = temp_folder.TempFolder(prefix="parti-fetch-test-")
        self.addCleanup(folder.cleanup)
        self.fake = pathlib.Path(folder.name)
        (self.fake / "bin").mkdir()
        (self.fake / "bin/apt-get").write_text(APT)
        (self.fake / "bin/apt-get").chmod(0o755)
        (self.fake / "says").write_text("nats-server: v2.15.1")
        self.binary = self.fake / "cache/forky/nats-server"

    def run_tool(self, name, *arguments, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("PARTI_")}
        env |= {"FAKE": str(self.fake), "PARTI_NATS_CACHE": str(self.fake / "cache"), "PATH": f"{self.fake}/bin:{os.environ['PATH']}"} | more
        run = subprocess.run([TOOLS / name, *arguments], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return run.returncode, run.stdout, run.stderr

    def fetch(self, *arguments, **more):
        return self.run_tool("fetch-nats-server.sh", *arguments, **more)

    def apt_calls(self):
        log = self.fake / "apt.log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def test_fetched_once_then_cached(self):
        code, out, err = self.fetch()
        self.assertEqual((0, f"{self.binary}\n"), (code, out), err)
        self.assertIn("nats-server 2.15.1", err)
        self.assertEqual(["nats-server"], [p.name for p in self.binary.parent.iterdir()], "nothing else is left")
        self.assertEqual(2, self.apt_calls())
        self.assertEqual((0, f"{self.binary}\n", ""), self.fetch())
        self.assertEqual(2, self.apt_calls())

    def test_apt_never_looks_at_the_system(self):
        self.fetch()
        for call in (self.fake / "apt.log").read_text().splitlines():
            for option in ("Dir::State=", "Dir::State::status=", "Dir::Cache=", "Dir::Etc::sourcelist="):
                self.assertIn(f"{option}{self.fake}/cache/", call)
            self.assertNotIn(" install ", call)

    def test_offline_is_said(self):
        (self.fake / "offline").touch()
        code, out, err = self.fetch(PARTI_DEBIAN_MIRROR="http://mirror.invalid/debian")
        self.assertEqual((77, ""), (code, out))
        self.assertIn("cannot be had from http://mirror.invalid/debian", err.splitlines()[-1])
        self.assertEqual([], list(self.binary.parent.iterdir()))

    def test_a_binary_that_is_no_server_is_not_kept(self):
        (self.fake / "says").write_text("hello")
        code, out, err = self.fetch()
        self.assertEqual((77, ""), (code, out))
        self.assertIn("does not run here", err)
        self.assertFalse(self.binary.exists())

    def test_cached_only_never_asks(self):
        code, out, err = self.fetch("--cached")
        self.assertEqual((77, "", 0), (code, out, self.apt_calls()))
        self.assertIn("fetch it with: tools/fetch-nats-server.sh forky", err)

    def test_a_named_binary_is_taken_and_a_wrong_one_refused(self):
        self.fetch()
        named = {"PARTI_NEW_NATS_SERVER": str(self.binary), "PARTI_NATS_CACHE": str(self.fake / "other")}
        self.assertEqual((0, f"{self.binary}\n", ""), self.fetch("--cached", **named))
        code, _, err = self.fetch(PARTI_NEW_NATS_SERVER="/bin/true")
        self.assertEqual(104, code)
        self.assertIn("'/bin/true' must name a nats-server", err)

    def test_bad_usage(self):
        code, _, err = self.fetch("bookworm")
        self.assertEqual(104, code)
        self.assertIn("'bookworm' must be", err)

    def test_a_program_runs_with_it_or_is_skipped(self):
        show = ("sh", "-c", 'echo "$PARTI_NATS_SERVER"; exit 5')
        self.assertEqual(77, self.run_tool("with-new-nats-server.sh", *show)[0])
        self.fetch()
        code, out, _ = self.run_tool("with-new-nats-server.sh", *show)
        self.assertEqual((5, str(self.binary)), (code, out.splitlines()[-1]))


if __name__ == "__main__":
    unittest.main()
