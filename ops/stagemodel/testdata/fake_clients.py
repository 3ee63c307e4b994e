"""The parts of the object stores' client libraries that stage_folders.py calls, on objects in memory.

Each reads a source as the library does: in parts of a fixed size, without seeking, and with nothing visible before its end.
"""

import io
import types


class Objects(dict):
    """The objects of a store: content and metadata by key. denied is how many calls fail so, missing makes all fail."""

    denied, missing = 0, False

    def refuses(self):
        """Reports whether a call is denied."""
        self.denied -= self.denied > 0
        return self.denied > 0

    def put(self, key, source, size, part, metadata):
        self.check()
        parts, left = [], size
        while left is None or left > 0:
            content = source.read(part if left is None else min(part, left))
            if left is None and not content:
                break
            assert content, "a source ended early"
            parts.append(content)
            left = None if left is None else left - len(content)
        # All parts but the last have the full size, which S3 and GCS require.
        assert all(len(p) == part for p in parts[:-1]), [len(p) for p in parts]
        self[key] = (b"".join(parts), dict(metadata))

    def check(self):
        raise NotImplementedError


def module(name, **attributes):
    made = types.ModuleType(name)
    vars(made).update(attributes)
    return made


def boto3_modules():
    class ClientError(Exception):
        def __init__(self, code):
            super().__init__(f"An error occurred ({code})")
            self.response = {"Error": {"Code": code}}

    class NoCredentialsError(Exception):
        pass

    class S3Objects(Objects):
        uploads = []

        def check(self):
            if self.missing:
                raise ClientError("NoSuchBucket")
            if self.refuses():
                raise ClientError("AccessDenied")

    objects = S3Objects()

    class Paginator:
        def __init__(self, operation):
            self.operation = operation

        def paginate(self, Bucket, Prefix):
            objects.check()
            if self.operation == "list_multipart_uploads":
                return [{"Uploads": [{"Key": key, "UploadId": upload} for key, upload in objects.uploads if key.startswith(Prefix)]}]
            return [{"Contents": [{"Key": k, "Size": len(v[0])} for k, v in sorted(objects.items()) if k.startswith(Prefix)]}, {}]

    class Body(io.BytesIO):
        def iter_chunks(self, size):
            return iter(lambda: self.read(size), b"")

    class Client:
        get_paginator = staticmethod(Paginator)

        def head_object(self, Bucket, Key):
            return {"Metadata": objects[Key][1]}

        def get_object(self, Bucket, Key):
            return {"Body": Body(objects[Key][0])}

        def upload_fileobj(self, source, bucket, key, ExtraArgs, Config):
            # boto3 is told no size and reads until a part is short.
            objects.put(key, source, None, Config.multipart_chunksize, ExtraArgs["Metadata"])

        def delete_object(self, Bucket, Key):
            del objects[Key]

        def abort_multipart_upload(self, Bucket, Key, UploadId):
            objects.uploads.remove((Key, UploadId))

    transfer = module("boto3.s3.transfer", TransferConfig=lambda **settings: types.SimpleNamespace(**settings))
    exceptions = module("botocore.exceptions", ClientError=ClientError, NoCredentialsError=NoCredentialsError,
                        PartialCredentialsError=NoCredentialsError, NoRegionError=type("NoRegionError", (Exception,), {}))
    s3 = module("boto3.s3", transfer=transfer)
    return objects, {
        "boto3": module("boto3", client=lambda _: Client(), s3=s3), "boto3.s3": s3, "boto3.s3.transfer": transfer,
        "botocore": module("botocore", exceptions=exceptions), "botocore.exceptions": exceptions,
    }


def google_modules():
    class GoogleAPIError(Exception):
        pass

    class NotFound(GoogleAPIError):
        pass

    class Forbidden(GoogleAPIError):
        pass

    class GCSObjects(Objects):
        def check(self):
            if self.missing:
                raise NotFound("404 the bucket")
            if self.refuses():
                raise Forbidden("403 storage.objects.list")

    objects = GCSObjects()

    class Blob:
        def __init__(self, name, chunk_size=None):
            self.name, self.chunk_size = name, chunk_size
            content, self.metadata = objects.get(name, (b"", None))
            self.size = len(content)

        def open(self, _):
            return io.BytesIO(objects[self.name][0])

        def upload_from_file(self, source, size, content_type):
            assert source.tell() == 0
            objects.put(self.name, source, size, self.chunk_size, self.metadata)

        def delete(self):
            del objects[self.name]

    class Bucket:
        blob = staticmethod(Blob)

        def get_blob(self, name):
            return Blob(name) if name in objects else None

    class Client:
        def bucket(self, _):
            return Bucket()

        def list_blobs(self, _, prefix):
            objects.check()
            return [Blob(name) for name in sorted(objects) if name.startswith(prefix)]

    api = module("google.api_core.exceptions", NotFound=NotFound, Forbidden=Forbidden, Unauthorized=Forbidden)
    auth = module("google.auth.exceptions", GoogleAuthError=type("GoogleAuthError", (Exception,), {}))
    storage = module("google.cloud.storage", Client=Client)
    cloud = module("google.cloud", storage=storage)
    api_core, auth_package = module("google.api_core", exceptions=api), module("google.auth", exceptions=auth)
    return objects, {
        "google": module("google", api_core=api_core, auth=auth_package, cloud=cloud), "google.api_core": api_core, "google.api_core.exceptions": api,
        "google.auth": auth_package, "google.auth.exceptions": auth, "google.cloud": cloud, "google.cloud.storage": storage,
    }


def azure_modules():
    class HttpResponseError(Exception):
        def __init__(self, status, code):
            super().__init__(f"{code}\nRequestId: 1")
            self.status_code, self.error_code = status, code

    class AzureObjects(Objects):
        account = None

        def check(self):
            if self.missing:
                raise HttpResponseError(404, "ContainerNotFound")
            if self.refuses():
                raise HttpResponseError(403, "AuthorizationPermissionMismatch")

    objects = AzureObjects()

    class Download:
        def __init__(self, content):
            self.content = content

        def chunks(self):
            return iter([self.content])

    class ContainerClient:
        def __init__(self, account_url, container_name, credential, max_block_size, max_single_put_size):
            objects.account, self.part = f"{account_url}/{container_name}", max_block_size

        def list_blobs(self, name_starts_with, include):
            objects.check()
            return [types.SimpleNamespace(name=name, size=len(content), metadata=metadata)
                    for name, (content, metadata) in sorted(objects.items()) if name.startswith(name_starts_with)]

        def upload_blob(self, name, source, length, metadata, overwrite, max_concurrency):
            assert overwrite
            objects.put(name, source, length, self.part, metadata)

        def download_blob(self, name):
            return Download(objects[name][0])

        def delete_blob(self, name):
            del objects[name]

    exceptions = module("azure.core.exceptions", HttpResponseError=HttpResponseError,
                        ClientAuthenticationError=type("ClientAuthenticationError", (HttpResponseError,), {}))
    blob = module("azure.storage.blob", ContainerClient=ContainerClient)
    core, storage = module("azure.core", exceptions=exceptions), module("azure.storage", blob=blob)
    identity = module("azure.identity", DefaultAzureCredential=lambda: "identity of the pod")
    return objects, {
        "azure": module("azure", core=core, storage=storage, identity=identity), "azure.core": core, "azure.core.exceptions": exceptions,
        "azure.storage": storage, "azure.storage.blob": blob, "azure.identity": identity,
    }
