"""Tests of components/compile_cache.py, run by TestCompileCacheInPython."""

import contextlib
import http.server
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest
from unittest import mock

import compile_cache

KEY, OTHER = "a" * 64, "b" * 64
SIZE = 1 << 30
GRAPH = ".cache/vllm/torch_compile_cache/5c1e/rank_0_0/graph.py"
KERNEL = ".triton/cache/ABC/kernel.cubin"


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # pylint: disable=invalid-name
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


class Test(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.folder = self.path("cache")
        os.mkdir(self.folder)

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def home(self, name, **files):
        """Makes a home folder with files: content by variable of this module."""
        for constant, content in files.items():
            path = self.path(name, globals()[constant])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        os.makedirs(self.path(name), exist_ok=True)
        return self.path(name)

    def cache(self, key=KEY, size=SIZE):
        return compile_cache.Cache(self.folder, key, size)

    def save(self, home, cache=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
        server.status = 200
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            return self.run_quietly(
                compile_cache.save, cache or self.cache(), home, "http://127.0.0.1:%d/health" % server.server_address[1], 0.01, 0.01)
        finally:
            server.shutdown()
            server.server_close()

    def restore(self, home, cache=None, limit=60):
        return self.run_quietly(compile_cache.restore, cache or self.cache(), home, limit)

    @staticmethod
    def run_quietly(function, *args):
        """Returns what the function prints."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            function(*args)
        return out.getvalue()

    def read(self, home, name):
        with open(os.path.join(home, name), "rb") as file:
            return file.read()

    def entry(self):
        names = os.listdir(self.folder)
        self.assertEqual(len(names), 1, names)
        return self.path("cache", names[0])

    def test_a_second_pod_has_what_the_first_compiled(self):
        first = self.home("first", GRAPH=b"graph", KERNEL=b"kernel" * 1000)
        os.chmod(os.path.join(first, KERNEL), 0o750)
        self.assertIn("saved 2 files", self.save(first))
        second = self.home("second")
        self.assertIn("restored 2 files", self.restore(second))
        self.assertEqual(self.read(second, GRAPH), b"graph")
        self.assertEqual(self.read(second, KERNEL), b"kernel" * 1000)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(second, KERNEL)).st_mode), 0o750)
        self.assertEqual(os.listdir(second), [".cache", ".triton"], "nothing staged is left")

    def test_no_entry(self):
        home = self.home("home")
        self.assertIn("no entry for aaaaaaaaaaaa; the server compiles", self.restore(home))
        self.assertEqual(os.listdir(home), [])

    def test_an_entry_of_another_key_is_not_read(self):
        self.save(self.home("first", GRAPH=b"graph"), self.cache(OTHER))
        self.assertIn("no entry", self.restore(self.home("second")))

    def test_an_entry_is_never_written_twice(self):
        self.save(self.home("first", GRAPH=b"graph"))
        before = self.entry()
        self.assertIn("is there", self.save(self.home("second", GRAPH=b"another")))
        self.assertEqual(self.entry(), before)

    def test_only_caches_are_kept(self):
        home = self.home("first", GRAPH=b"graph")
        os.makedirs(os.path.join(home, ".cache/huggingface"))
        for name in (".cache/huggingface/token", ".cache/vllm/torch_compile_cache/a.lock", ".cache/vllm/torch_compile_cache/tmp.1"):
            with open(os.path.join(home, name), "w", encoding="ascii") as file:
                file.write("secret")
        os.symlink("/etc/passwd", os.path.join(home, ".cache/vllm/torch_compile_cache/link"))
        self.save(home)
        with tarfile.open(self.entry()) as tar:
            self.assertEqual(tar.getnames(), [GRAPH])

    def test_a_corrupt_entry_is_removed_and_replaced(self):
        for how in ("changed", "cut off", "empty"):
            with self.subTest(how):
                home = self.home("first", GRAPH=b"graph" * 1000)
                self.save(home)
                path = self.entry()
                with open(path, "r+b") as file:
                    if how == "changed":
                        file.seek(700)
                        file.write(b"x")
                    else:
                        file.truncate(2048 if how == "cut off" else 0)
                second = self.home("second")
                self.assertIn("removed the corrupt entry aaaaaaaaaaaa", self.restore(second))
                self.assertEqual(os.listdir(second), [])
                self.assertEqual(os.listdir(self.folder), [])
                self.assertIn("saved", self.save(home))
                self.assertIn("restored", self.restore(second))
                shutil.rmtree(second)
                os.unlink(self.entry())

    def test_an_entry_with_other_files_is_refused(self):
        for name, kind in ((".bashrc", tarfile.REGTYPE), ("../escape", tarfile.REGTYPE), ("/etc/x", tarfile.REGTYPE),
                           (".triton/cache/../../../escape", tarfile.REGTYPE), (".triton/cache/link", tarfile.SYMTYPE)):
            with self.subTest(name):
                content = io.BytesIO()
                with tarfile.open(fileobj=content, mode="w") as tar:
                    member = tarfile.TarInfo(name)
                    member.type, member.linkname = kind, "/etc/passwd"
                    tar.addfile(member)
                total = compile_cache.hashlib.sha256(content.getvalue()).hexdigest()
                with open(self.path("cache", "%s-%s.tar" % (KEY, total)), "wb") as file:
                    file.write(content.getvalue())
                home = self.home("home")
                self.assertIn("is not a file of a compilation cache", self.restore(home))
                self.assertEqual(os.listdir(home), [])
                self.assertEqual(sorted(os.listdir(self.root)), ["cache", "home"])

    def test_a_cache_that_cannot_be_used(self):
        home = self.home("home", GRAPH=b"graph")
        missing = compile_cache.Cache(self.path("missing"), KEY, SIZE)
        self.assertIn("cannot restore the entry aaaaaaaaaaaa", self.restore(home, missing))
        with mock.patch("sys.argv", ["compile_cache.py", "restore", "--home", home, "--cache", self.path("missing"), "--key", KEY]):
            self.assertIn("; the server compiles", self.run_quietly(compile_cache.main))

    def test_a_cache_that_is_too_slow(self):
        self.save(self.home("first", GRAPH=b"graph"))
        second = self.home("second")
        with mock.patch("compile_cache.checked", lambda *_: time.sleep(60)):
            self.assertIn("it takes more than 0.05 s; the server compiles", self.restore(second, limit=0.05))
        self.assertEqual(os.listdir(second), [])

    def test_the_oldest_entries_make_room(self):
        one = self.home("one", GRAPH=b"x" * 100000)
        size = compile_cache.packed_size(compile_cache.look(one))
        for index, key in enumerate(("1" * 64, "2" * 64, "3" * 64)):
            self.save(one, self.cache(key))
            (path,) = (os.path.join(self.folder, n) for n in os.listdir(self.folder) if n.startswith(key))
            os.utime(path, (index, index))
        self.restore(self.home("second"), self.cache("1" * 64))  # It was used last.
        self.assertIn("removed the entry 222222222222", self.save(one, self.cache("4" * 64, 3 * size + 5000)))
        self.assertEqual(sorted(name[0] for name in os.listdir(self.folder)), ["1", "3", "4"])

    def test_nothing_is_left_of_an_entry_that_does_not_fit(self):
        home = self.home("home", GRAPH=b"x" * 100000)
        with self.assertRaisesRegex(OSError, "more than the size of the whole cache"):
            self.save(home, self.cache(size=50000))
        usage = mock.Mock(free=1000)
        with mock.patch("shutil.disk_usage", lambda _: usage), self.assertRaisesRegex(OSError, "the volume has only"):
            self.save(home)
        with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")), self.assertRaisesRegex(OSError, "No space left"):
            self.save(home)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_read_only_cache_is_read(self):
        first = self.home("first", GRAPH=b"graph")
        self.save(first)
        utime, refusal = os.utime, OSError(30, "Read-only file system")

        def read_only(path, *times):
            if path.startswith(self.folder):
                raise refusal
            utime(path, *times)

        with mock.patch("os.utime", read_only):
            self.assertIn("restored 1 files", self.restore(self.home("second")))
        with mock.patch("tempfile.mkstemp", side_effect=refusal), self.assertRaisesRegex(OSError, "Read-only"):
            self.save(first, self.cache(OTHER))
        with open(self.entry(), "ab") as file:
            file.write(b"x")
        with mock.patch("os.unlink", side_effect=refusal):
            self.assertIn("is corrupt (its content does not have the checksum of its name) and cannot be removed", self.restore(first))

    def test_what_is_compiled_while_it_is_read_is_read_again(self):
        home = self.home("home", GRAPH=b"graph")
        pack, calls = compile_cache.pack, []

        def compiling(*args):
            pack(*args)
            if not calls:
                self.home("home", KERNEL=b"later")
            calls.append(1)

        with mock.patch("compile_cache.pack", compiling):
            self.assertIn("saved 2 files", self.save(home))
        self.assertEqual(len(calls), 2)
        self.assertEqual(len(os.listdir(self.folder)), 1)

    def test_what_a_killed_pod_left_is_removed(self):
        for name, changed in (("old", 0), ("new", time.time())):
            path = self.path("cache", compile_cache.UNFINISHED + name)
            with open(path, "wb"):
                pass
            os.utime(path, (changed, changed))
        self.save(self.home("home", GRAPH=b"graph"))
        left = [name for name in os.listdir(self.folder) if name.startswith(compile_cache.UNFINISHED)]
        self.assertEqual(left, [compile_cache.UNFINISHED + "new"])

    def test_a_pod_that_ends(self):
        command = [sys.executable, compile_cache.__file__, "save", "--home", self.home("home"), "--cache", self.path("missing"), "--key", KEY,
                   "--pause", "0.01"]
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
            server.status = 200
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            for _ in range(3):
                with subprocess.Popen(command + ["--health", "http://127.0.0.1:%d/" % server.server_address[1]], stdout=subprocess.PIPE) as process:
                    self.assertIn(b"cannot save the entry", process.stdout.readline())
                    process.terminate()
                    self.assertEqual(process.wait(10), 0)
            server.shutdown()

    def test_a_server_that_compiled_nothing(self):
        self.assertIn("compiled nothing", self.save(self.home("home")))
        self.assertEqual(os.listdir(self.folder), [])

    def test_nothing_is_saved_before_the_server_is_healthy(self):
        states = iter([False, False, True])
        with mock.patch("compile_cache.healthy", lambda _: next(states)):
            self.assertIn("saved", self.run_quietly(compile_cache.save, self.cache(), self.home("h", GRAPH=b"g"), "", 0.01, 0.01))
        self.assertIsNone(next(states, None))
        self.assertFalse(compile_cache.healthy("http://127.0.0.1:1/health"))


if __name__ == "__main__":
    unittest.main()
