import contextlib
import errno
import hashlib
import io
import json
import os
import tempfile
import unittest
from unittest import mock

import stage_folders
import stage_model
from fake_hub import COMMIT, MODEL, FakeHub

FILES = {
    "config.json": b'{"architectures": ["X"]}',
    "tokenizer.json": b"{}",
    "model-00001-of-00002.safetensors": b"first" * 400_000,
    "model-00002-of-00002.safetensors": b"second" * 300_000,
    "README.md": b"a model",
    "pytorch_model.bin": b"the same in another format",
    "original/consolidated.00.pth": b"once more",
    "consolidated.safetensors": b"and once more",
}
WANTED = sorted(set(FILES) - {"README.md", "pytorch_model.bin", "original/consolidated.00.pth", "consolidated.safetensors"})


class StageTest(unittest.TestCase):
    def setUp(self):
        self.hub = FakeHub(FILES)
        self.addCleanup(self.hub.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.join(folder.name, "models", "one")
        for name, value in {"RETRY_DELAYS": (0, 0), "FILE_RETRY_DELAYS": (0,), "DENIED_DELAYS": (0,)}.items():
            patch = mock.patch.object(stage_model, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def stage(self, *more, token=None, model=MODEL, target=None):
        """Returns the exit status and what was printed."""
        environment = {"HF_ENDPOINT": self.hub.url}
        if token:
            environment["HF_TOKEN"] = token
        printed = io.StringIO()
        with mock.patch.dict(os.environ, environment), contextlib.redirect_stdout(printed):
            status = stage_model.main(["--model", model, "--target", target or self.folder, *more])
        return status, printed.getvalue()

    def content(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def names(self):
        return sorted(os.path.relpath(os.path.join(at, n), self.folder) for at, _, names in os.walk(self.folder) for n in names)

    def assert_complete(self, commit=COMMIT, wanted=None):
        wanted = WANTED if wanted is None else wanted
        self.assertEqual(self.names(), sorted([*wanted, stage_model.MARKER]))
        marker = json.loads(self.content(stage_model.MARKER))
        self.assertEqual((marker["model"], marker["revision"]), (MODEL, commit))
        for name in wanted:
            self.assertEqual(self.content(name), self.hub.files[name])
            self.assertEqual(marker["files"][name], {"size": len(self.hub.files[name]), "sha256": hashlib.sha256(self.hub.files[name]).hexdigest()})

    def fetched(self):
        return sorted({p.removeprefix("/storage/") for p in self.hub.requests if p.startswith("/storage/")})


class TestCopy(StageTest):
    def test_whole(self):
        status, printed = self.stage("--progress-seconds", "0.01")
        self.assertEqual(status, 0, printed)
        self.assert_complete()
        self.assertIn(f"{MODEL} at {COMMIT}: 4 files, 4 MiB, to {self.folder}", printed)
        self.assertIn(f"complete: {MODEL} at {COMMIT}", printed)
        self.assertEqual(self.fetched(), WANTED, "nothing that vLLM does not read is downloaded")

    def test_complete_already(self):
        self.stage()
        self.hub.requests.clear()
        status, printed = self.stage()
        self.assertEqual(status, 0)
        self.assertIn("complete already", printed)
        self.assertIn("-again", printed)
        self.assertEqual(self.hub.requests, [], "without a revision the hub is not asked")
        status, printed = self.stage("--revision", "v1")
        self.assertIn("complete already", printed)
        self.assertEqual(self.fetched(), [])

    def test_token_goes_to_the_hub_only(self):
        self.hub.gated = True
        status, printed = self.stage(token="allowed")
        self.assertEqual(status, 0, printed)
        self.assertNotIn("allowed", printed)
        for path, token in self.hub.tokens:
            self.assertEqual(token, None if path == "storage" else "Bearer allowed", path)

    def test_broken_connection_goes_on(self):
        name = "model-00001-of-00002.safetensors"
        self.hub.broken[name] = 1_000_000
        status, printed = self.stage()
        self.assertEqual(status, 0, printed)
        self.assertIn("after 1000000 of 2000000 bytes", printed)
        self.assert_complete()

    def test_server_errors_pass(self):
        self.hub.failing = [503, 429]
        status, printed = self.stage()
        self.assertEqual(status, 0, printed)
        self.assertIn("answers 503", printed)

    def test_hub_is_away(self):
        self.hub.failing = [503] * 3
        status, printed = self.stage()
        self.assertEqual(status, 1, "another pod tries again")
        self.assertIn(f"error: {self.hub.url} answers 503", printed)


class TestResume(StageTest):
    def test_after_an_interruption(self):
        name = "model-00002-of-00002.safetensors"
        self.hub.corrupt.add(name)
        with mock.patch.object(stage_model, "WORKERS", 1):
            self.assertEqual(self.stage()[0], stage_model.EXIT_REFUSED)
        self.assertIn("model-00001-of-00002.safetensors", self.names())
        self.assertNotIn(stage_model.MARKER, self.names())
        self.hub.corrupt.clear()
        self.hub.requests.clear()
        status, printed = self.stage()
        self.assertEqual(status, 0, printed)
        self.assertIn("1 of 4 files are there already", printed)
        self.assertNotIn("model-00001-of-00002.safetensors", self.fetched())
        self.assert_complete()

    def test_damaged_file_is_copied_again(self):
        self.stage()
        name = "model-00001-of-00002.safetensors"
        with open(os.path.join(self.folder, name), "r+b") as file:
            file.write(b"X")
        self.assertIn("complete already", self.stage()[1], "sizes are compared, as every server does")
        self.hub.requests.clear()
        status, printed = self.stage("--again")
        self.assertEqual(status, 0, printed)
        self.assertIn(f"{name}: the checksum", printed)
        self.assertNotIn("model-00002-of-00002.safetensors", self.fetched())
        self.assert_complete()

    def test_partial_files_are_removed(self):
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, ".model-00001-of-00002.safetensors.partial"), "wb") as file:
            file.write(b"begun")
        self.stage()
        self.assert_complete()

    def test_another_revision_leaves_nothing_behind(self):
        self.stage()
        newer = "2f2e2d2c" * 5
        self.hub.commits["main"] = newer
        self.hub.files = {"config.json": b"{}", "model.safetensors": b"one file now" * 1000}
        status, printed = self.stage("--again")
        self.assertEqual(status, 0, printed)
        self.assertIn("removing model-00001-of-00002.safetensors of another revision", printed)
        self.assert_complete(commit=newer, wanted=["config.json", "model.safetensors"])


class TestRefusals(StageTest):
    def refused(self, text, *more, **options):
        status, printed = self.stage(*more, **options)
        self.assertEqual(status, stage_model.EXIT_REFUSED, printed)
        self.assertIn(text, printed.splitlines()[-1])
        self.assertTrue(printed.splitlines()[-1].startswith("error: "), printed)
        if os.path.exists(self.folder):
            self.assertNotIn(stage_model.MARKER, self.names())

    def test_wrong_checksum(self):
        self.hub.corrupt.add("model-00001-of-00002.safetensors")
        self.refused("model-00001-of-00002.safetensors: what was read has the checksum")
        self.assertNotIn("model-00001-of-00002.safetensors", self.names())

    def test_wrong_checksum_of_a_file_in_git(self):
        self.hub.corrupt.add("config.json")
        self.refused("config.json: what was read has the checksum")
        self.assertNotIn("config.json", self.names())

    def test_gated_without_a_token(self):
        self.hub.gated = True
        self.refused(f"{MODEL} is gated and the server has no Hugging Face token")

    def test_gated_without_access(self):
        self.hub.gated = True
        self.refused("the account of the token has no access", token="other")

    def test_unknown_model(self):
        self.refused("there is no model example/other", model="example/other")

    def test_unknown_revision(self):
        self.refused(f"{MODEL} has no revision v2", "--revision", "v2")

    def test_no_safetensors(self):
        self.hub.files = {"config.json": b"{}", "pytorch_model.bin": b"x"}
        self.refused("has no *.safetensors")

    def test_weights_of_something_else(self):
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, "other.safetensors"), "wb") as file:
            file.write(b"x")
        self.refused("has other.safetensors, which example/model does not have")
        self.assertEqual(self.names(), ["other.safetensors"], "nothing is touched")

    def test_too_little_room(self):
        with mock.patch("shutil.disk_usage", return_value=mock.Mock(free=1 << 20)):
            self.refused("needs 4 MiB more and its volume has 1 MiB free")
        self.assertEqual(self.names(), [])

    def test_errors_of_the_volume(self):
        for number, text in {
            errno.ENOSPC: "is full: enlarge the claim", errno.EROFS: "is read-only", errno.EACCES: "may not write to",
        }.items():
            with self.subTest(text), mock.patch("os.fsync", side_effect=OSError(number, "x")):
                self.refused(text)

    def test_unknown_scheme(self):
        self.refused("begins with none of", target="ftp://x/y")

    def test_image_without_a_client(self):
        with mock.patch.dict("sys.modules", {"boto3": None}):
            self.refused("the server's image has no boto3", target="s3://bucket/folder")


class TestParts(unittest.TestCase):
    def test_sizes(self):
        for count, text in {0: "0 B", 2048: "2 KiB", 3 << 20: "3 MiB", 5 << 29: "2.5 GiB"}.items():
            self.assertEqual(stage_folders.size_text(count), text)

    def test_progress(self):
        progress = stage_model.Progress(3, 4 << 30, 10)
        progress.started -= 100
        self.assertEqual(progress.text(1, 1 << 30, 100 << 20), "copied 1 of 3 files, 1.0 GiB of 4.0 GiB, 100 MiB/s, 5m00s left")


if __name__ == "__main__":
    unittest.main()
