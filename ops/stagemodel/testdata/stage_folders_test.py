import hashlib
import io
import json
from unittest import mock

import fake_clients
import stage_folders
import stage_model
from fake_hub import COMMIT, MODEL
from stage_model_test import FILES, WANTED, StageTest

STORES = {
    "s3://models/one/two": fake_clients.boto3_modules,
    "gs://models/one/two": fake_clients.google_modules,
    "az://account/models/one/two": fake_clients.azure_modules,
}


class TestBuckets(StageTest):
    def stores(self):
        """Returns each store, in which the parts of an upload are small."""
        for target, modules in STORES.items():
            objects, installed = modules()
            with mock.patch.dict("sys.modules", installed), mock.patch.object(stage_folders, "PART", 300_000):
                yield target, objects

    def assert_stored(self, objects):
        self.assertEqual(sorted(objects), sorted(f"one/two/{name}" for name in [*WANTED, stage_model.MARKER]))
        for name in WANTED:
            content, metadata = objects["one/two/" + name]
            self.assertEqual(content, FILES[name])
            self.assertEqual(metadata, {"sha256": hashlib.sha256(content).hexdigest()})
        self.assertEqual(json.loads(objects["one/two/" + stage_model.MARKER][0])["revision"], COMMIT)

    def test_whole_and_again(self):
        for target, objects in self.stores():
            status, printed = self.stage(target=target)
            self.assertEqual(status, 0, printed)
            self.assert_stored(objects)
            self.assertIn("complete already", self.stage(target=target)[1])

    def test_resume(self):
        lost = "one/two/model-00002-of-00002.safetensors"
        for target, objects in self.stores():
            self.stage(target=target)
            del objects[lost], objects["one/two/" + stage_model.MARKER]
            self.hub.requests.clear()
            status, printed = self.stage(target=target)
            self.assertEqual(status, 0, printed)
            self.assertNotIn("model-00001-of-00002.safetensors", self.fetched())
            self.assert_stored(objects)

    def test_content_is_compared_again(self):
        damaged = "one/two/model-00001-of-00002.safetensors"
        for target, objects in self.stores():
            self.stage(target=target)
            content, metadata = objects[damaged]
            objects[damaged] = (b"X" + content[1:], metadata)
            status, printed = self.stage("--again", target=target)
            self.assertEqual(status, 0, printed)
            self.assertIn("copying it again", printed)
            self.assert_stored(objects)

    def test_wrong_checksum_is_not_kept(self):
        self.hub.corrupt.add("model-00001-of-00002.safetensors")
        for target, objects in self.stores():
            status, printed = self.stage(target=target)
            self.assertEqual(status, stage_model.EXIT_REFUSED, printed)
            self.assertNotIn("one/two/model-00001-of-00002.safetensors", objects)
            self.assertNotIn("one/two/" + stage_model.MARKER, objects)

    def test_no_permission(self):
        for target, objects in self.stores():
            objects.denied = 100
            status, printed = self.stage(target=target)
            self.assertEqual(status, stage_model.EXIT_REFUSED, printed)
            self.assertIn(f"error: no permission to write to {target}", printed)

    def test_new_permission(self):
        for target, objects in self.stores():
            objects.denied = 2
            status, printed = self.stage(target=target)
            self.assertEqual(status, 0, printed)
            self.assertIn("in case that the permission is new", printed)
            self.assert_stored(objects)

    def test_no_bucket(self):
        for target, objects in self.stores():
            objects.missing = True
            status, printed = self.stage(target=target)
            self.assertEqual(status, stage_model.EXIT_REFUSED, printed)
            self.assertIn("does not exist: create it, or correct model.bucket", printed)

    def test_other_models_are_left_alone(self):
        for target, objects in self.stores():
            objects["one/twofold/model.safetensors"] = (b"other", {})
            status, printed = self.stage(target=target)
            self.assertEqual(status, 0, printed)
            self.assertIn("one/twofold/model.safetensors", objects)

    def test_account(self):
        objects, installed = fake_clients.azure_modules()
        with mock.patch.dict("sys.modules", installed):
            stage_folders.open_folder("az://account/models/one")
        self.assertEqual(objects.account, "https://account.blob.core.windows.net/models")

    def test_unfinished_uploads_are_ended(self):
        objects, installed = fake_clients.boto3_modules()
        objects.uploads = [("one/two/model.safetensors", "u1"), ("one/three/model.safetensors", "u2")]
        with mock.patch.dict("sys.modules", installed):
            stage_folders.open_folder("s3://models/one/two").remove_partial()
        self.assertEqual(objects.uploads, [("one/three/model.safetensors", "u2")])

    def test_large_files_have_few_parts(self):
        objects, installed = fake_clients.boto3_modules()
        with mock.patch.dict("sys.modules", installed):
            folder = stage_folders.open_folder("s3://models/one")
            upload = mock.patch.object(type(folder.client), "upload_fileobj")
            with upload as call:
                folder.write("model.safetensors", io.BytesIO(), 400 << 30, "x")
        self.assertLessEqual((400 << 30) / call.call_args.kwargs["Config"].multipart_chunksize, 10_000)


del StageTest
