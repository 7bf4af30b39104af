"""The distribution client against a real registry; crane and skopeo agree on what it wrote."""

from __future__ import annotations

import io
import json
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.images import ImageMaker
from tests.support.registry import LocalRegistry
from tests.support.tools import tool
from tools.oci.client import RegistryClient, UploadOutcome
from tools.oci.digest import digest_of
from tools.oci.errors import (
    BlobMismatch,
    InvalidManifest,
    InvalidReference,
    InvalidResponse,
    NotFound,
    NotKept,
    Refused,
)
from tools.oci.manifest import OCI_INDEX, Descriptor, ImageManifest, Platform, parse_manifest
from tools.oci.parallel import run_all
from tools.oci.publication import push_index
from tools.oci.reference import Repository
from tools.oci.tags import write_tag

NOWHERE = "sha256:" + "0" * 64


def run(name: str, *arguments: str) -> str:
    """What an independent client prints."""
    result = subprocess.run([*tool(name), *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def sent_blob(client: RegistryClient, repository: Repository, maker: ImageMaker, content: bytes) -> Descriptor:
    """A blob that is in the registry."""
    blob = maker.blob(content)
    client.upload_blob(repository, blob, lambda: maker.blobs.open(blob.digest))
    return blob


@contextmanager
def limited_file_size(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes, as on a disk that is full."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def methods(registry: LocalRegistry) -> list[str]:
    return [request.method for request in registry.requests()]


def test_crane_and_skopeo_read_what_was_pushed(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str, tmp_path: Path
) -> None:
    index = maker.index(attested=True)
    repository = registry.repository(path)
    report = push_index(client, repository, index.descriptor, maker.blobs)
    write_tag(client, repository.tag("v1"), index)
    assert report.digest == index.digest
    reference = str(repository.tag("v1"))

    assert run("crane", "digest", reference).strip() == index.digest
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}")
    assert raw.encode() == index.content
    run("crane", "validate", "--remote", reference)
    copy = tmp_path / "copy"
    run(
        "skopeo",
        "copy",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        f"docker://{reference}",
        f"dir:{copy}",
    )
    assert (copy / "manifest.json").read_bytes() == index.content
    platforms = [child["platform"]["architecture"] for child in json.loads(raw)["manifests"]]
    assert platforms == ["amd64", "arm64", "unknown", "unknown"]


def test_what_crane_wrote_is_read(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index()
    repository = registry.repository(path)
    push_index(client, repository, index.descriptor, maker.blobs)
    run("crane", "tag", str(repository.digest(index.digest)), "by-crane")
    assert client.get_manifest(repository.tag("by-crane")) == index
    assert client.list_tags(repository) == ("by-crane",)


def test_a_manifest_is_found_by_tag_and_by_digest(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index()
    repository = registry.repository(path)
    push_index(client, repository, index.descriptor, maker.blobs)
    write_tag(client, repository.tag("v1"), index)
    for reference in (repository.tag("v1"), repository.digest(index.digest)):
        assert client.find_manifest(reference) == index
        assert client.head_manifest(reference) == index.descriptor
        assert client.manifest_exists(reference)
    child = client.get_manifest(repository.digest(index.manifests[0].digest))
    assert isinstance(child, ImageManifest)
    assert len(child.layers) == 2


def test_a_definite_404_is_none_and_costs_one_get_or_a_head_and_a_get(
    registry: LocalRegistry, client: RegistryClient, path: str
) -> None:
    reference = registry.repository(path).tag("v1")
    assert client.find_manifest(reference) is None
    assert client.head_manifest(reference) is None
    assert not client.manifest_exists(reference)
    assert methods(registry) == ["GET", "HEAD", "GET", "HEAD"]
    with pytest.raises(NotFound, match=r"MANIFEST_UNKNOWN|NAME_UNKNOWN"):
        client.get_manifest(reference)


def test_a_fresh_push_asks_for_all_and_sends_a_shared_layer_once(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index()
    report = push_index(client, registry.repository(path), index.descriptor, maker.blobs)
    assert (report.blobs_uploaded, report.blobs_present, report.manifests_written) == (5, 0, 3)
    requests = registry.requests()
    assert sum(request.is_upload for request in requests) == 5
    assert sorted(methods(registry)) == ["HEAD"] * 8 + ["POST"] * 5 + ["PUT"] * 8
    assert "/manifests/" + index.digest in requests[-1].path
    assert client.traffic.total == len(requests)
    assert client.traffic.writes == 13
    assert client.traffic.bytes_sent == report.bytes_uploaded + sum(
        len(content.read_bytes()) for content in [maker.paths[child.digest] for child in index.manifests]
    ) + len(index.content)


def test_a_second_push_writes_nothing(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index()
    push_index(client, registry.repository(path), index.descriptor, maker.blobs)
    registry.forget_requests()
    report = push_index(client, registry.repository(path), index.descriptor, maker.blobs)
    assert report.manifests_written == 0
    assert methods(registry) == ["HEAD"] * 3


def test_a_changed_platform_sends_only_what_changed(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    repository = registry.repository(path)
    push_index(client, repository, maker.index("old").descriptor, maker.blobs)
    registry.forget_requests()
    report = push_index(client, repository, maker.index("new").descriptor, maker.blobs)
    # Each platform's own layer and its config; the shared layer is there.
    assert (report.blobs_uploaded, report.blobs_present) == (4, 1)
    assert sum(request.is_upload for request in registry.requests()) == 4


def test_an_index_whose_children_were_deleted_is_made_whole(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index()
    repository = registry.repository(path)
    push_index(client, repository, index.descriptor, maker.blobs)
    run("crane", "delete", str(repository.digest(index.manifests[0].digest)))
    registry.forget_requests()
    report = push_index(client, repository, index.descriptor, maker.blobs)
    assert (report.manifests_written, report.blobs_uploaded) == (2, 0)
    assert sum(request.method == "HEAD" for request in registry.requests()) == 6


def test_apps_that_share_layers_send_each_of_them_once(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    first, second = maker.index(f"first of {path}"), maker.index(f"second of {path}")
    push_index(client, registry.repository(f"{path}/first"), first.descriptor, maker.blobs)
    report = push_index(client, registry.repository(f"{path}/second"), second.descriptor, maker.blobs)
    # The layer of all platforms; each platform's own one and its config are the second app's.
    assert (report.blobs_mounted, report.blobs_uploaded, report.blobs_present) == (1, 4, 0)
    sent = [request.path.partition("digest=")[2] for request in registry.requests() if request.is_upload]
    assert len(sent) == len(set(sent)) == 9
    registry.forget_requests()
    report = push_index(client, registry.repository(f"{path}/third"), first.descriptor, maker.blobs)
    assert (report.blobs_mounted, report.blobs_uploaded) == (5, 0)
    assert not any(request.is_upload for request in registry.requests())


def test_a_blob_that_was_only_seen_or_read_is_mounted_too(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    repository = registry.repository(f"{path}/source")
    seen, read = (sent_blob(client, repository, maker, f"{word} in {path}".encode()) for word in ("seen", "read"))
    with RegistryClient(registry.address) as other:
        assert other.blob_exists(repository, seen.digest)
        other.read_blob(repository, read)
        for blob in (seen, read):
            outcome = other.upload_blob(registry.repository(path), blob, lambda: pytest.fail("it was opened"))
            assert outcome is UploadOutcome.MOUNTED


def test_a_mount_that_does_not_work_becomes_an_upload_and_is_not_tried_again(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    source, target = registry.repository(f"{path}/source"), registry.repository(path)
    blob = sent_blob(client, source, maker, f"a blob of {path}".encode())
    connection = HTTPConnection(registry.address)
    connection.request("DELETE", f"/v2/{source.path}/blobs/{blob.digest}")
    assert connection.getresponse().status == 202
    connection.close()
    registry.forget_requests()
    outcome = client.upload_blob(target, blob, lambda: maker.blobs.open(blob.digest))
    assert outcome is UploadOutcome.UPLOADED
    requests = registry.requests()
    assert [request.method for request in requests] == ["HEAD", "POST", "PUT"]
    assert "mount=" in requests[1].path
    assert client.blob_exists(target, blob.digest)
    assert client.upload_blob(target, blob, lambda: maker.blobs.open(blob.digest)) is UploadOutcome.EXISTS
    again = client.upload_blob(source, blob, lambda: maker.blobs.open(blob.digest))
    assert again is UploadOutcome.MOUNTED


def test_images_that_are_pushed_at_the_same_time_arrive_whole(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    indexes = [maker.index(f"{number} of {path}") for number in range(4)]
    blobs = maker.blobs
    push = [
        partial(push_index, client, registry.repository(f"{path}/{number}"), index.descriptor, blobs)
        for number, index in enumerate(indexes)
    ]
    run_all(push)
    for number, index in enumerate(indexes):
        run("crane", "validate", "--remote", str(registry.repository(f"{path}/{number}").digest(index.digest)))


def test_a_single_image_can_be_pushed_too(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    image = maker.image(Platform("linux", "amd64"), ["only"])
    report = push_index(client, registry.repository(path), image, maker.blobs)
    assert (report.digest, report.manifests_written, report.blobs_uploaded) == (image.digest, 1, 2)


def test_an_empty_blob_can_be_pushed(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    blob = maker.blob(b"")
    outcome = client.upload_blob(registry.repository(path), blob, lambda: maker.blobs.open(blob.digest))
    assert outcome in (UploadOutcome.UPLOADED, UploadOutcome.EXISTS)
    assert client.blob_exists(registry.repository(path), blob.digest)


def test_a_large_blob_is_streamed(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    blob = maker.blob(b"0123456789abcdef" * 2**20)
    biggest = 0

    class Watched:
        """The file, watched for how much is read of it at once."""

        def __init__(self) -> None:
            self.file = maker.blobs.open(blob.digest)

        def __enter__(self) -> Watched:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def read(self, size: int = -1) -> bytes:
            nonlocal biggest
            block = self.file.read(size)
            biggest = max(biggest, len(block))
            return block

    client.upload_blob(registry.repository(path), blob, Watched)  # type: ignore[arg-type]
    assert client.blob_exists(registry.repository(path), blob.digest)
    assert biggest <= 2**20


def test_a_missing_blob_stops_a_push_before_anything_is_written(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index()
    child = parse_manifest(maker.paths[index.manifests[0].digest].read_bytes())
    assert isinstance(child, ImageManifest)
    gone = child.layers[0].digest
    maker.paths[gone].unlink()
    with pytest.raises(BlobMismatch, match=gone):
        push_index(client, registry.repository(path), index.descriptor, maker.blobs)
    assert not any(request.is_write for request in registry.requests())


def test_a_manifest_on_disk_that_is_another_one_is_noticed_before_anything_is_asked(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index()
    maker.paths[index.manifests[0].digest].write_bytes(b"{}")
    with pytest.raises(BlobMismatch, match="its content is not"):
        push_index(client, registry.repository(path), index.descriptor, maker.blobs)
    assert registry.requests() == []


def test_an_index_in_an_index_is_refused(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    inner = maker.index().descriptor
    outer = maker.document({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [inner.to_json()]})
    with pytest.raises(InvalidManifest, match="another index"):
        push_index(client, registry.repository(path), outer, maker.blobs)


@pytest.mark.parametrize("size", [6, 8])
def test_a_blob_of_another_size_than_described_is_not_sent_as_if_it_were(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str, size: int
) -> None:
    blob = maker.blob(b"1234567")
    wrong = Descriptor(blob.media_type, digest_of(path.encode()), size)
    with pytest.raises(BlobMismatch, match=r"1 bytes (more|fewer)"):
        client.upload_blob(registry.repository(path), wrong, lambda: maker.blobs.open(blob.digest))


def test_a_blob_with_other_content_is_refused_by_the_registry_in_its_own_words(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    blob = maker.blob(b"1234567")
    wrong = Descriptor(blob.media_type, NOWHERE, blob.size)
    with pytest.raises(Refused, match="DIGEST_INVALID") as caught:
        client.upload_blob(registry.repository(path), wrong, lambda: maker.blobs.open(blob.digest))
    assert caught.value.status == 400


def test_a_manifest_without_its_blobs_is_refused_by_the_registry_in_its_own_words(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index()
    with pytest.raises(Refused, match=r"MANIFEST_BLOB_UNKNOWN|MANIFEST_UNKNOWN|BLOB_UNKNOWN"):
        client.put_manifest(registry.repository(path).tag("v1"), index.content, index.media_type)


def test_a_manifest_is_written_under_no_other_digest_than_its_own(
    registry: LocalRegistry, client: RegistryClient, path: str
) -> None:
    with pytest.raises(InvalidReference, match="the content's digest is"):
        client.put_manifest(registry.repository(path).digest(NOWHERE), b"{}", OCI_INDEX)
    assert registry.requests() == []


def test_a_client_is_for_one_registry(client: RegistryClient) -> None:
    with pytest.raises(InvalidReference, match="a client for each registry"):
        client.find_manifest(Repository("example.org", "app").tag("v1"))


def test_a_read_only_registry_refuses_in_its_own_words(tmp_path: Path, maker: ImageMaker) -> None:
    index = maker.index()
    with (
        LocalRegistry(tmp_path / "registry", read_only=True) as registry,
        RegistryClient(registry.address) as client,
        pytest.raises(Refused, match="405"),
    ):
        push_index(client, registry.repository("app"), index.descriptor, maker.blobs)


def test_tags_of_a_repository_that_does_not_exist_are_none(
    registry: LocalRegistry, client: RegistryClient, path: str
) -> None:
    assert client.list_tags(registry.repository(path)) == ()


def test_a_client_survives_a_restart_of_the_registry(tmp_path: Path, maker: ImageMaker) -> None:
    index = maker.index()
    with LocalRegistry(tmp_path / "registry") as registry, RegistryClient(registry.address) as client:
        repository = registry.repository("app")
        push_index(client, repository, index.descriptor, maker.blobs)
        registry.stop()
        registry.start()
        # The kept connections are all stale now; nothing of that is a failure.
        assert client.get_manifest(repository.digest(index.digest)) == index
        assert client.traffic.retries == 0


def test_a_blob_is_streamed_into_a_file(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 20_000  # several blocks
    blob = sent_blob(client, registry.repository(path), maker, content)
    registry.forget_requests()
    with (tmp_path / "out").open("w+b") as out:
        client.download_blob(registry.repository(path), blob, out)
    assert (tmp_path / "out").read_bytes() == content
    assert methods(registry) == ["GET"]


@pytest.mark.parametrize("content", [b"", b"small"])
def test_a_small_blob_is_read(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str, content: bytes
) -> None:
    repository = registry.repository(path)
    assert client.read_blob(repository, sent_blob(client, repository, maker, content)) == content


def test_a_blob_that_is_not_there_is_not_found(registry: LocalRegistry, client: RegistryClient, path: str) -> None:
    repository = registry.repository(path)
    with pytest.raises(NotFound, match=r"BLOB_UNKNOWN|NAME_UNKNOWN") as caught:
        client.read_blob(repository, Descriptor("any", NOWHERE, 5))
    assert f"{repository}@{NOWHERE}" in caught.value.what


@pytest.mark.parametrize(("announced", "why"), [(4, "more than 4 bytes, 4 were"), (6, "5 bytes, 6 were")])
def test_a_blob_of_another_size_than_announced_is_refused(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str, announced: int, why: str
) -> None:
    repository = registry.repository(path)
    blob = sent_blob(client, repository, maker, b"small")
    with pytest.raises(InvalidResponse, match=why):
        client.read_blob(repository, replace(blob, size=announced))


def test_a_full_disk_is_not_mistaken_for_a_bad_line(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str, tmp_path: Path
) -> None:
    blob = sent_blob(client, registry.repository(path), maker, b"more than fits")
    with (tmp_path / "out").open("w+b") as out, limited_file_size(5), pytest.raises(NotKept, match="out cannot be"):
        client.download_blob(registry.repository(path), blob, out)
    assert client.traffic.retries == 0


def test_a_manifest_is_deleted_by_digest_with_its_tags(client: RegistryClient, path: str, maker: ImageMaker) -> None:
    repository = Repository(client.registry, path)
    index = maker.index()
    push_index(client, repository, index.descriptor, maker.blobs)
    write_tag(client, repository.tag("v1"), index)
    with pytest.raises(Refused):  # docker-registry deletes by digest only
        client.delete_manifest(repository.tag("v1"))
    client.delete_manifest(repository.digest(index.digest))
    assert client.find_manifest(repository.tag("v1")) is None
    with pytest.raises(NotFound):
        client.delete_manifest(repository.digest(index.digest))


def test_a_deleted_blob_is_uploaded_again(client: RegistryClient, path: str, maker: ImageMaker) -> None:
    repository = Repository(client.registry, path)
    blob = maker.blob(b"short-lived")
    for _ in range(2):
        outcome = client.upload_blob(repository, blob, partial(io.BytesIO, b"short-lived"))
        assert outcome is UploadOutcome.UPLOADED
        client.delete_blob(repository, blob.digest)
    assert not client.blob_exists(repository, blob.digest)
