#!/usr/bin/env python3
"""Tests tools/setup.sh against a fake dpkg, apt-get, sudo and id. Nothing is installed and nothing outside a temp folder is touched."""
import os
import pathlib
import signal
import subprocess
import time
import unittest

import temp_folder

SETUP = pathlib.Path(__file__).with_name("setup.sh")
PACKAGES = subprocess.run(["bash", SETUP, "--list"], capture_output=True, text=True, check=True).stdout.split()

FAKES = {
    "dpkg-query": r"""
while IFS= read -r package; do
    case $package in lib*) echo "installed $package:amd64";; *) echo "installed $package";; esac
done <"$FAKE/installed"
[ ! -e "$FAKE/known-only-in-part" ] || exit 1
""",
    # Installs what is asked for, but never the package named in $FAKE/broken; waits for ever when $FAKE/hang exists.
    "apt-get": r"""
echo "$@" >>"$FAKE/apt.log"
case " $* " in *" update "*) exit 0;; esac
{ echo "frontend=$DEBIAN_FRONTEND"; "$PARTI_POLICY_RC_D" nats-server start; echo "policy=$?"; } >>"$FAKE/apt.log"
if [ -e "$FAKE/hang" ]; then : >"$FAKE/hanging"; read -r _ <"$FAKE/fifo"; fi
for word in "$@"; do
    case $word in -*|install|*=*) ;; *) grep -qx "$word" "$FAKE/broken" || echo "$word" >>"$FAKE/installed";; esac
done
[ ! -s "$FAKE/broken" ] || exit 100
""",
    "sudo": r"""echo "$@" >>"$FAKE/sudo.log"; : >"$FAKE/root"; exec "$@" """,
    "id": r"""if [ -e "$FAKE/root" ]; then echo 0; else echo 1000; fi""",
}


def default_signals():
    """Under nohup or in a background job these are ignored, which a shell cannot undo."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Setup(unittest.TestCase):
    def setUp(self):
        folder = temp_folder.TempFolder(prefix="parti-setup-test-")
        self.addCleanup(folder.cleanup)
        self.fake = pathlib.Path(folder.name)
        self.bin = self.fake / "bin"
        self.bin.mkdir()
        for name, body in FAKES.items():
            self.tool(name, body)
        for name in ("bash", "sh", "sed", "grep", "mv", "cp", "rm", "chmod", "mktemp", "flock", "env"):
            (self.bin / name).symlink_to(next(d for d in map(pathlib.Path, ("/usr/bin", "/bin")) if (d / name).exists()) / name)
        self.policy = self.fake / "policy-rc.d"
        (self.fake / "broken").touch()
        (self.fake / "root").touch()
        os.mkfifo(self.fake / "fifo")

    def tool(self, name, body):
        (self.bin / name).write_text("#!/bin/sh\n" + body)
        (self.bin / name).chmod(0o755)

    def installed(self, packages):
        (self.fake / "installed").write_text("".join(p + "\n" for p in packages))

    def start(self, **more):
        env = {"PATH": str(self.bin), "FAKE": str(self.fake), "PARTI_POLICY_RC_D": str(self.policy)} | more
        return subprocess.Popen(["bash", str(SETUP)], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=default_signals)

    def run_setup(self, **more):
        process = self.start(**more)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def log(self, name="apt.log"):
        path = self.fake / name
        return path.read_text() if path.exists() else ""

    def hang(self):
        """Starts a run and returns when its apt-get is in the middle of installing."""
        (self.fake / "hang").touch()
        process = self.start()
        deadline = time.monotonic() + 30
        while not (self.fake / "hanging").exists():
            self.assertLess(time.monotonic(), deadline, "apt-get was not called")
            self.assertIsNone(process.poll(), "setup.sh ended early")
            time.sleep(0.01)
        (self.fake / "hang").unlink()
        return process

    def test_silent_without_apt_when_all_is_there(self):
        self.installed(PACKAGES)
        self.assertEqual((0, "", ""), self.run_setup())
        self.assertEqual("", self.log())

    def test_installs_only_what_is_missing_and_starts_nothing(self):
        self.installed(p for p in PACKAGES if p not in ("nats-server", "libnats-dev"))
        (self.fake / "known-only-in-part").touch()
        code, out, err = self.run_setup()
        self.assertEqual((0, ""), (code, err))
        self.assertIn("installing libnats-dev nats-server\n", out)
        update, install, frontend, policy = self.log().splitlines()
        self.assertTrue(update.endswith(" update"))
        self.assertTrue(install.endswith("--no-install-recommends libnats-dev nats-server"))
        self.assertEqual(("frontend=noninteractive", "policy=101"), (frontend, policy))
        self.assertFalse(self.policy.exists())

    def test_package_that_only_contains_the_name_does_not_count(self):
        self.installed([p for p in PACKAGES if p != "g++"] + ["g++-12", "my-g++"])
        self.assertIn("installing g++\n", self.run_setup()[1])

    def test_existing_policy_comes_back_as_it_was(self):
        self.installed(PACKAGES[1:])
        self.policy.write_text("#!/bin/sh\nexit 104\n")
        self.policy.chmod(0o751)
        self.assertEqual(0, self.run_setup()[0])
        self.assertIn("policy=101", self.log())
        self.assertEqual(("#!/bin/sh\nexit 104\n", 0o751), (self.policy.read_text(), self.policy.stat().st_mode & 0o777))
        self.assertEqual([self.policy], list(self.fake.glob("policy-rc.d*")))

    def test_failure_names_the_package_and_puts_the_policy_back(self):
        self.installed(p for p in PACKAGES if p not in ("cmake", "libexpected-dev"))
        (self.fake / "broken").write_text("libexpected-dev\n")
        code, _, err = self.run_setup()
        self.assertEqual(1, code)
        self.assertIn("could not install: libexpected-dev (", err)
        self.assertFalse(self.policy.exists())

    def test_interrupt_puts_the_policy_back(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            with self.subTest(number=number):
                self.installed(PACKAGES[1:])
                (self.fake / "hanging").unlink(missing_ok=True)
                self.policy.write_text("theirs")
                process = self.hang()
                self.assertNotEqual("theirs", self.policy.read_text())
                os.killpg(process.pid, number)
                process.communicate(timeout=30)
                self.assertEqual(code, process.returncode)
                self.assertEqual("theirs", self.policy.read_text())

    def test_run_after_a_killed_run_puts_the_policy_back(self):
        self.installed(PACKAGES[1:])
        self.policy.write_text("theirs")
        process = self.hang()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        self.assertNotEqual("theirs", self.policy.read_text())
        self.assertEqual(0, self.run_setup()[0])
        self.assertEqual("theirs", self.policy.read_text())

    def test_two_runs_at_once_wait_for_each_other(self):
        self.installed(PACKAGES[1:])
        self.policy.write_text("theirs")
        first = self.hang()
        second = self.start()
        with open(self.fake / "fifo", "w", encoding="ascii") as fifo:
            fifo.write("go on\n")
        for process in (first, second):
            process.communicate(timeout=30)
            self.assertEqual(0, process.returncode)
        self.assertEqual(1, self.log().count("policy=101"))
        self.assertEqual("theirs", self.policy.read_text())

    def test_uses_sudo_when_not_root(self):
        (self.fake / "root").unlink()
        self.installed(PACKAGES[1:])
        self.assertEqual(0, self.run_setup()[0])
        self.assertIn("setup.sh", self.log("sudo.log"))
        self.assertIn("policy=101", self.log())

    def test_without_sudo_says_what_to_run(self):
        (self.fake / "root").unlink()
        (self.bin / "sudo").unlink()
        self.installed(PACKAGES[1:])
        code, _, err = self.run_setup()
        self.assertEqual(1, code)
        self.assertIn(f"as root run: apt-get install {PACKAGES[0]}", err)

    def test_another_distribution_gets_the_list(self):
        (self.bin / "apt-get").unlink()
        code, _, err = self.run_setup()
        self.assertEqual(1, code)
        self.assertIn("PARTI_SKIP_SETUP=1: " + " ".join(PACKAGES), err)
        self.assertEqual((0, "", ""), self.run_setup(PARTI_SKIP_SETUP="1"))


if __name__ == "__main__":
    unittest.main()
