"""A proxy before a real registry that adds what a healthy registry on the same machine never does: delay, refusals,
broken connections, lies, tokens that expire, immutable tags, lists of referrers. It keeps a record with times, so that
round trips that had to wait for each other can be counted.

The vocabulary and all but the forwarding are those of the registry in memory, tests/fault_registry.
"""

from __future__ import annotations

import hashlib
import http.client
import json
from typing import Any

from tests.fault_registry.faults import (
    Answer,
    Armed,
    Asked,
    Fault,
    Headers,
    Route,
    Seen,
    error_answer,
    round_trips,
)
from tests.fault_registry.server import FaultServer
from tools.oci.manifest import OCI_INDEX

__all__ = ["Answer", "Fault", "FaultProxy", "Seen", "error_answer", "round_trips"]

_OF_ONE_CONNECTION = ("connection", "transfer-encoding", "content-length", "expect")


class FaultProxy(FaultServer):
    """The proxy, as a context manager.

    Args:
        upstream: HOST:PORT of the real registry.
        options: see FaultServer.
    """

    def __init__(self, upstream: str, **options: Any) -> None:
        self.upstream = upstream
        self._lists: dict[tuple[str, str], list[dict[str, Any]]] | None = None
        super().__init__(**options)

    def inject(self, *faults: Fault) -> None:
        """See FaultServer. Lag is none of its faults: it cannot know what the registry held before."""
        assert not any(fault.lag for fault in faults), "only the registry in memory can lag"
        super().inject(*faults)

    def list_referrers(self) -> None:
        """Keep lists of referrers, as registries of distribution-spec 1.1 do: one a page, so that there are pages."""
        self._lists = {}

    def serve(self, asked: Asked, armed: Armed) -> Answer:
        """See FaultServer."""
        if self._lists is not None and asked.method == "GET" and asked.route is Route.REFERRERS:
            return self._list(self._lists.get((asked.repository, asked.reference), []), asked)
        answer = self._forward(asked.method, asked.path, asked.headers, asked.body)
        if self._lists is not None and asked.method == "PUT" and asked.route is Route.MANIFESTS:
            return self._keep_referrer(self._lists, asked, answer)
        return answer

    def has_tag(self, asked: Asked) -> bool:
        """See FaultServer."""
        accept = {"accept": asked.header("content-type")}
        return self._forward("HEAD", asked.path, accept, b"").status == 200

    def _list(self, entries: list[dict[str, Any]], asked: Asked) -> Answer:
        page = int(asked.query("page") or 0)
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries[page : page + 1]}
        path = asked.path.partition("?")[0]
        more = {"Link": f'<{path}?page={page + 1}>; rel="next"'} if page + 1 < len(entries) else {}
        return Answer(200, {"Content-Type": OCI_INDEX, **more}, json.dumps(index).encode())

    def _keep_referrer(
        self, lists: dict[tuple[str, str], list[dict[str, Any]]], asked: Asked, answer: Answer
    ) -> Answer:
        manifest = json.loads(asked.body)
        if "subject" not in manifest:
            return answer
        subject = manifest["subject"]["digest"]
        entry = {
            "mediaType": manifest["mediaType"],
            "digest": f"sha256:{hashlib.sha256(asked.body).hexdigest()}",
            "size": len(asked.body),
            "artifactType": manifest.get("artifactType") or manifest["config"]["mediaType"],
            "annotations": manifest.get("annotations", {}),
        }
        with self._lock:
            entries = lists.setdefault((asked.repository, subject), [])
            if answer.status == 201 and entry not in entries:
                entries.append(entry)
        return Answer(answer.status, {**answer.headers, "OCI-Subject": subject}, answer.body)

    def _forward(self, method: str, path: str, headers: Headers, body: bytes) -> Answer:
        """Ask the real registry."""
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        own = {name: value for name, value in headers.items() if name not in _OF_ONE_CONNECTION}
        try:
            connection.request(method, path, body=body if method not in ("GET", "HEAD") else None, headers=own)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers.items()), response.read())
        finally:
            connection.close()
