"""The folders that stage_model.py fills: of a bucket, or of a volume."""

import errno
import hashlib
import os
import shutil
import urllib.parse

CHUNK = 4 << 20
# The size of a part of an upload.
PART = 32 << 20
# S3 accepts that many parts of an upload.
MOST_PARTS = 9000


class Refused(Exception):
    """An error that another attempt does not change. Its text has the way on."""


class Denied(Refused):
    """A missing permission. A grant of the last minutes may not be in effect yet."""


class Transient(Exception):
    """An error that another attempt may not have."""


class Stopped(Exception):
    """The copy of another file has failed, or the pod is to end."""


def size_text(count):
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def open_folder(target):
    """Returns the folder of a URI, or of a path."""
    scheme, separator, rest = target.partition("://")
    if not separator:
        return Directory(target)
    parts = rest.strip("/").split("/")
    try:
        if scheme == "s3":
            return S3(target, parts[0], "/".join(parts[1:]))
        if scheme == "gs":
            return GCS(target, parts[0], "/".join(parts[1:]))
        if scheme == "az":
            return Azure(target, parts[0], parts[1], "/".join(parts[2:]))
    except ImportError as error:
        raise Refused(f"the server's image has no {error.name}, which {scheme}:// needs: vLLM's own image has it with "
                      "runai-model-streamer[s3,gcs,azure]; set vllm.image to one that has it too") from None
    raise Refused(f"{target} begins with none of gs://, s3:// and az://")


class Folder:
    """A folder of files with checksums. Its methods raise Refused, Transient, or what reading the source of a file raises."""

    def __init__(self, name):
        self.name = name

    def __str__(self):
        return self.name

    def sizes(self):
        """Returns the sizes of all files by name."""
        return self.call(self._sizes)

    def checksum(self, name):
        """Returns the SHA-256 that a file was written with, None where it is not known."""
        return self.call(lambda: self._checksum(name))

    def digest(self, name):
        """Returns the SHA-256 of a file's content, which is read for it."""
        def read():
            sha256 = hashlib.sha256()
            for chunk in self._chunks(name):
                sha256.update(chunk)
            return sha256.hexdigest()
        return self.call(read)

    def read(self, name):
        """Returns a small file's content, None where there is none."""
        return self.call(lambda: b"".join(self._chunks(name)) if name in self._sizes(name) else None)

    def write(self, name, source, size, sha256):
        """Replaces a file by the content of a reader. A reader that fails leaves what was there."""
        self.call(lambda: self._write(name, source, size, sha256))

    def delete(self, name):
        self.call(lambda: self._delete(name))

    def require(self, size):
        """Refuses a folder that has less room; a bucket has no limit."""

    def remove_partial(self):
        """Removes what unfinished uploads have left."""

    def refusal(self, error):
        """Returns the Refused for an error, None where another attempt may not have it."""
        raise NotImplementedError

    def call(self, action):
        try:
            return action()
        except (Refused, Transient, Stopped):
            raise
        except Exception as error:
            refusal = self.refusal(error)
            if refusal:
                raise refusal from None
            raise Transient(f"{self}: {type(error).__name__}: {error}") from None


class Directory(Folder):
    """A folder of a mounted volume."""

    def _path(self, name):
        return os.path.join(self.name, name)

    def _sizes(self, only=""):
        if only:
            return {only: os.path.getsize(self._path(only))} if os.path.exists(self._path(only)) else {}
        found = {}
        for folder, _, names in os.walk(self.name):
            for name in names:
                path = os.path.join(folder, name)
                found[os.path.relpath(path, self.name)] = os.path.getsize(path)
        return found

    # A volume stores no checksums: the content is the only witness.
    def _checksum(self, name):
        return self.digest(name)

    def _chunks(self, name):
        with open(self._path(name), "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def _partial(self, name):
        folder, base = os.path.split(self._path(name))
        return os.path.join(folder, f".{base}.partial")

    def _write(self, name, source, size, sha256):
        partial = self._partial(name)
        os.makedirs(os.path.dirname(partial), exist_ok=True)
        try:
            with open(partial, "wb") as file:
                while chunk := source.read(CHUNK):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self._path(name))
        except BaseException:
            if os.path.exists(partial):
                os.remove(partial)
            raise

    def _delete(self, name):
        os.remove(self._path(name))

    def require(self, size):
        def look():
            os.makedirs(self.name, exist_ok=True)
            return shutil.disk_usage(self.name).free
        free = self.call(look)
        if free < size:
            raise Refused(f"{self} needs {size_text(size)} more and its volume has {size_text(free)} free: enlarge the claim, or remove other models from it")

    def remove_partial(self):
        def remove():
            for name in self._sizes():
                if os.path.basename(name).startswith(".") and name.endswith(".partial"):
                    os.remove(self._path(name))
        self.call(remove)

    def refusal(self, error):
        number = getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT):
            return Refused(f"the volume of {self} is full: enlarge the claim, or remove other models from it")
        if number == errno.EROFS:
            return Refused(f"the volume of {self} is read-only: fill it through a claim with the access mode ReadWriteMany or ReadWriteOnce")
        if number in (errno.EACCES, errno.EPERM):
            return Refused(f"user {os.getuid()} may not write to {self}: make the folder writable for group {os.getgid()}")
        return None


class Bucket(Folder):
    """A folder of an object store."""

    def __init__(self, uri, prefix):
        super().__init__(uri)
        self.prefix = prefix.strip("/") + "/"

    def denied(self, reason):
        return Denied(f"no permission to write to {self}: the ServiceAccount of the Job needs the right to list, read, create and delete objects there "
                      f"(docs/cold-start.md, Filling a bucket or a claim): {reason}")

    def missing(self):
        return Refused(f"the bucket or container of {self} does not exist: create it, or correct model.bucket")


class S3(Bucket):
    def __init__(self, uri, bucket, prefix):
        super().__init__(uri, prefix)
        import boto3
        import boto3.s3.transfer
        import botocore.exceptions
        self.transfer, self.errors, self.bucket = boto3.s3.transfer, botocore.exceptions, bucket
        self.client = self.call(lambda: boto3.client("s3"))

    def _sizes(self, only=""):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + only)
        return {o["Key"][len(self.prefix):]: o["Size"] for page in pages for o in page.get("Contents", []) if not o["Key"].endswith("/")}

    def _checksum(self, name):
        return self.client.head_object(Bucket=self.bucket, Key=self.prefix + name)["Metadata"].get("sha256")

    def _chunks(self, name):
        return self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"].iter_chunks(CHUNK)

    def _write(self, name, source, size, sha256):
        # One request at a time: with several, each file would hold ten parts in memory.
        config = self.transfer.TransferConfig(
            multipart_threshold=PART, multipart_chunksize=max(PART, -(-size // MOST_PARTS)), use_threads=False)
        self.client.upload_fileobj(source, self.bucket, self.prefix + name, ExtraArgs={"Metadata": {"sha256": sha256}}, Config=config)

    def _delete(self, name):
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + name)

    def remove_partial(self):
        """Ends the uploads that a killed pod has left, which are paid for. The right to list them is not required."""
        try:
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
            for upload in [u for page in pages for u in page.get("Uploads", [])]:
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        except self.errors.ClientError:
            pass

    def refusal(self, error):
        if isinstance(error, (self.errors.NoCredentialsError, self.errors.PartialCredentialsError)):
            return self.denied("the pod has no AWS credentials")
        if isinstance(error, self.errors.NoRegionError):
            return Refused(f"{error}: set AWS_REGION in vllm.podTemplate")
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
        if code == "NoSuchBucket":
            return self.missing()
        if code in ("AccessDenied", "403", "401", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AllAccessDisabled"):
            return self.denied(str(error))
        return None


class GCS(Bucket):
    def __init__(self, uri, bucket, prefix):
        super().__init__(uri, prefix)
        import google.api_core.exceptions
        import google.auth.exceptions
        from google.cloud import storage
        self.errors, self.auth_errors = google.api_core.exceptions, google.auth.exceptions
        self.client = self.call(storage.Client)
        self.bucket = self.client.bucket(bucket)

    def _sizes(self, only=""):
        return {b.name[len(self.prefix):]: b.size for b in self.client.list_blobs(self.bucket, prefix=self.prefix + only) if not b.name.endswith("/")}

    def _checksum(self, name):
        blob = self.bucket.get_blob(self.prefix + name)
        return ((blob and blob.metadata) or {}).get("sha256")

    def _chunks(self, name):
        with self.bucket.blob(self.prefix + name, chunk_size=PART).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def _write(self, name, source, size, sha256):
        # With a chunk size, a request that fails is repeated for its own chunk only.
        blob = self.bucket.blob(self.prefix + name, chunk_size=PART)
        blob.metadata = {"sha256": sha256}
        blob.upload_from_file(source, size=size, content_type="application/octet-stream")

    def _delete(self, name):
        self.bucket.blob(self.prefix + name).delete()

    def refusal(self, error):
        if isinstance(error, self.auth_errors.GoogleAuthError):
            return self.denied(f"the pod has no Google credentials: {error}")
        if isinstance(error, self.errors.NotFound):
            return self.missing()
        if isinstance(error, (self.errors.Forbidden, self.errors.Unauthorized)):
            return self.denied(str(error))
        return None


class Azure(Bucket):
    def __init__(self, uri, account, container, prefix):
        super().__init__(uri, prefix)
        import azure.core.exceptions
        import azure.identity
        import azure.storage.blob
        self.errors = azure.core.exceptions
        suffix = os.environ.get("AZURE_STORAGE_ENDPOINT_SUFFIX") or "blob.core.windows.net"
        self.client = azure.storage.blob.ContainerClient(
            f"https://{account}.{suffix}", container, credential=azure.identity.DefaultAzureCredential(),
            max_block_size=PART, max_single_put_size=PART)

    def _blobs(self, name=""):
        # A store with folders lists them as empty blobs.
        blobs = self.client.list_blobs(name_starts_with=self.prefix + name, include=["metadata"])
        return {b.name[len(self.prefix):]: b for b in blobs if (b.metadata or {}).get("hdi_isfolder") != "true"}

    def _sizes(self, only=""):
        return {name: blob.size for name, blob in self._blobs(only).items()}

    def _checksum(self, name):
        return (self._blobs(name)[name].metadata or {}).get("sha256")

    def _chunks(self, name):
        return self.client.download_blob(self.prefix + name).chunks()

    def _write(self, name, source, size, sha256):
        self.client.upload_blob(self.prefix + name, source, length=size, metadata={"sha256": sha256}, overwrite=True, max_concurrency=1)

    def _delete(self, name):
        self.client.delete_blob(self.prefix + name)

    def refusal(self, error):
        status = getattr(error, "status_code", None)
        if status == 404 and getattr(error, "error_code", "") in ("ContainerNotFound", "", None):
            return self.missing()
        if isinstance(error, self.errors.ClientAuthenticationError) or status in (401, 403):
            return self.denied(str(error).splitlines()[0])
        return None
