"""What an image consists of, as SPDX 2.3 and as CycloneDX 1.6 (JSON).

Both documents are functions of the image's content: no time but the epoch, no random number, no label or path of a
build, so that equal images have equal SBOMs. Only the standard library is used, since these functions run in a build
action that must start fast; the tests validate what they write by the libraries of both standards.

Files of one's own are packages of the purpose FILE in SPDX: its File elements demand a SHA-1, which is worth nothing.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tools.image.license import License, read_license
from tools.oci.manifest import Platform

Package = Mapping[str, Any]
"""An entry of `packages` in the metadata of a layer: type (deb, pypi, oci), name, version, purl, and what is known of
architecture, sha256, license, source, homepage, supplier."""

File = Mapping[str, Any]
"""A file of a listing: path and sha256; the rest is not read."""

_EPOCH = "1970-01-01T00:00:00Z"
_CREATOR = "slipway"
_UNKNOWN = "NOASSERTION"
_SPDX_IMAGE = "SPDXRef-image"
_CYCLONEDX_IMAGE = "image"
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_URL = re.compile(
    r"https?://([A-Za-z0-9-]+\.)+[A-Za-z]{2,}(:[0-9]{1,5})?(/([A-Za-z0-9._~/?=&,;:@!$*+-]|%[0-9A-Fa-f]{2})*)?"
)
# SPDX wants to know whether a supplier is a person. Debian's maintainers do not say it but by their names.
_GROUP = re.compile(
    r"\b(team|groups?|maintainers?|developers?|packagers?|project|foundation|debian|inc|llc|ltd|gmbh)\b", re.IGNORECASE
)
_SUPPLIER = re.compile(r"(.*?) ?<([A-Za-z0-9._+-]+@[A-Za-z0-9.-]+)>", re.ASCII)


def own_files(listings: Iterable[Sequence[Mapping[str, Any]]]) -> list[File]:
    """The files that are left when these layers lie upon each other, bottom first, sorted by path.

    Args:
      listings: the entries of each layer, as layers are listed.
    """
    files: dict[str, File] = {}
    for listing in listings:
        _hide(files, (entry["path"] for entry in listing))
        for entry in listing:
            files.pop(entry["path"], None)
            if _is_whiteout(entry["path"]):
                continue
            if entry["kind"] == "file":
                files[entry["path"]] = entry
            elif entry["kind"] == "hardlink" and entry["target"] in files:
                files[entry["path"]] = {**files[entry["target"]], "path": entry["path"]}
    return [files[path] for path in sorted(files)]


def spdx_document(subject: str, platform: Platform, packages: Iterable[Package], files: Iterable[File]) -> bytes:
    """The SPDX document of an image.

    Args:
      subject: digest of the image's manifest.
      platform: what it runs on.
      packages: of all layers; one that comes twice is listed once.
      files: the image's own, each path once.
    """
    listed = _distinct(packages)
    licenses = {key: _license(package) for key, package in listed.items()}
    algorithm, _, value = subject.partition(":")
    image = {
        "SPDXID": _SPDX_IMAGE,
        "name": f"image for {platform}",
        "versionInfo": subject,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": algorithm.upper(), "checksumValue": value}],
    }
    parts = [_spdx_package(key, package, licenses[key]) for key, package in listed.items()]
    parts += [_spdx_file(file) for file in files]
    own = dict(sorted(pair for found in licenses.values() if found for pair in found.own))
    document: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"image for {platform}",
        "documentNamespace": "",
        "creationInfo": {"created": _EPOCH, "creators": [f"Tool: {_CREATOR}"]},
        "packages": [_spdx_element(element) for element in (image, *parts)],
        "relationships": [_relationship("SPDXRef-DOCUMENT", "DESCRIBES", _SPDX_IMAGE)]
        + [_relationship(_SPDX_IMAGE, "CONTAINS", part["SPDXID"]) for part in parts],
    }
    if own:
        document["hasExtractedLicensingInfos"] = [
            {"licenseId": reference, "name": words, "extractedText": f"The package says of its licence: {words}"}
            for reference, words in own.items()
        ]
    return _json({**document, "documentNamespace": f"https://spdx.org/spdxdocs/image-{_uuid(document)}"})


def cyclonedx_document(subject: str, platform: Platform, packages: Iterable[Package], files: Iterable[File]) -> bytes:
    """The CycloneDX document of an image; the arguments are those of `spdx_document`."""
    listed = _distinct(packages)
    algorithm, _, value = subject.partition(":")
    image = {
        "type": "container",
        "bom-ref": _CYCLONEDX_IMAGE,
        "name": f"image for {platform}",
        "version": subject,
        "hashes": [{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": value}],
    }
    parts = [_cyclonedx_package(key, package) for key, package in listed.items()]
    parts += [_cyclonedx_file(file) for file in files]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": _CREATOR}]},
            "component": image,
        },
        "components": parts,
        "dependencies": [{"ref": _CYCLONEDX_IMAGE, "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    return _json({**document, "serialNumber": f"urn:uuid:{_uuid(document)}"})


def _spdx_package(key: str, package: Package, license_: License | None) -> dict[str, Any]:
    element = {
        "SPDXID": f"SPDXRef-{key}",
        "name": package["name"],
        "versionInfo": package["version"],
        "licenseDeclared": license_.expression if license_ else _UNKNOWN,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package["purl"],
            }
        ],
    }
    if package["type"] == "oci":
        element["primaryPackagePurpose"] = "CONTAINER"
    if package.get("sha256"):
        element["checksums"] = [_spdx_sha256(package["sha256"])]
    if source := package.get("source"):
        # The words by which vulnerability scanners find the source package.
        element["sourceInfo"] = f"built package from: {source['name']} {source['version']}"
    if homepage := _homepage(package):
        element["homepage"] = homepage
    if supplier := _supplier(package):
        name, address = supplier
        kind = "Organization" if _GROUP.search(name) else "Person"
        element["supplier"] = f"{kind}: {name}" + (f" ({address})" if address else "")
    return element


def _spdx_file(file: File) -> dict[str, Any]:
    return {
        "SPDXID": f"SPDXRef-{_file_key(file)}",
        "name": file["path"],
        "packageFileName": f"./{file['path']}",
        "primaryPackagePurpose": "FILE",
        "checksums": [_spdx_sha256(file["sha256"])],
    }


def _spdx_element(fields: dict[str, Any]) -> dict[str, Any]:
    """A package element with what the standard demands of each."""
    unknown = ("downloadLocation", "licenseConcluded", "licenseDeclared", "copyrightText")
    return {**fields, "filesAnalyzed": False, **{name: _UNKNOWN for name in unknown if name not in fields}}


def _spdx_sha256(value: str) -> dict[str, str]:
    return {"algorithm": "SHA256", "checksumValue": value}


def _relationship(element: str, kind: str, related: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}


def _cyclonedx_package(key: str, package: Package) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "container" if package["type"] == "oci" else "library",
        "bom-ref": key,
        "name": package["name"],
        "version": package["version"],
        "purl": package["purl"],
    }
    if supplier := _supplier(package):
        name, address = supplier
        component["supplier"] = {"name": name} | ({"contact": [{"email": address}]} if address else {})
    if package.get("sha256"):
        component["hashes"] = [_cyclonedx_sha256(package["sha256"])]
    if license_ := _license(package):
        component["licenses"] = [_cyclonedx_license(license_)]
    if homepage := _homepage(package):
        component["externalReferences"] = [{"type": "website", "url": homepage}]
    if source := package.get("source"):
        ancestor = {"type": "library", "name": source["name"], "version": source["version"]}
        component["pedigree"] = {"ancestors": [ancestor]}
    return component


def _cyclonedx_license(license_: License) -> dict[str, Any]:
    if not license_.is_simple:
        return {"expression": license_.expression, "acknowledgement": "declared"}
    name = {"id": license_.expression} if license_.listed else {"name": license_.own[0][1]}
    return {"license": {**name, "acknowledgement": "declared"}}


def _cyclonedx_file(file: File) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": _file_key(file),
        "name": file["path"],
        "hashes": [_cyclonedx_sha256(file["sha256"])],
    }


def _cyclonedx_sha256(value: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": value}


def _distinct(packages: Iterable[Package]) -> dict[str, Package]:
    """The packages by a key that is unique in the document and good for an identifier, in the order of their names.

    The same purl with the same content is one package, in however many layers it is.
    """
    found: dict[tuple[str, str, str, str], Package] = {}
    for package in packages:
        order = (package["type"], package["name"], package["version"], package["purl"] + (package.get("sha256") or ""))
        found.setdefault(order, package)
    return {f"{order[0]}-{_slug(order[1])}-{_hash(order[3])}": found[order] for order in sorted(found)}


def _file_key(file: File) -> str:
    return f"file-{_hash(file['path'])}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", text, flags=re.ASCII)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _license(package: Package) -> License | None:
    return read_license(package["license"]) if package.get("license") else None


def _homepage(package: Package) -> str | None:
    """A homepage that is a URL for every reader; packages write all sorts of things there."""
    text = package.get("homepage") or ""
    plain = re.fullmatch(
        r"https?://[A-Za-z0-9.-]+\.[A-Za-z]{2,5}(:[0-9]{1,5})?(/[A-Za-z0-9._~/?=&,;:@!$*+#%-]*)?", text
    )
    return text if plain else None


def _supplier(package: Package) -> tuple[str, str] | None:
    """The name and the address of `NAME <ADDRESS>`, the latter empty if there is none."""
    text = " ".join((package.get("supplier") or "").split())
    match = _SUPPLIER.fullmatch(text)
    if match:
        return match[1] or match[2], match[2]
    return (text, "") if text else None


def _hide(files: dict[str, File], paths: Iterable[str]) -> None:
    """Removes from `files` what the whiteouts among `paths` hide (image-spec, layer.md)."""
    for path in paths:
        folder, slash, name = path.rpartition("/")
        if name == _OPAQUE:
            hidden = folder + slash
        elif name.startswith(_WHITEOUT):
            hidden = folder + slash + name.removeprefix(_WHITEOUT) + "/"
            files.pop(hidden[:-1], None)
        else:
            continue
        for below in [each for each in files if each.startswith(hidden)]:
            del files[below]


def _is_whiteout(path: str) -> bool:
    return path.rpartition("/")[2].startswith(_WHITEOUT)


def _uuid(document: Mapping[str, Any]) -> str:
    """A UUID made of the document, where it is still empty (RFC 9562, version 8)."""
    digits = hashlib.sha256(_json(document)).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"


def _json(value: Any) -> bytes:
    # ASCII, so that a name with anything in it is fit for every reader.
    return json.dumps(value, separators=(",", ":")).encode()
