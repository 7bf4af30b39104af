"""What can go wrong with a registry, as one small class hierarchy.

Every error has three parts: `what` failed (with its reference or file), `why` (the server's own words where there are
any) and the `remedy` (what to do next). `Unanswered` is the class of everything after which one knows no more than
before: it is never to be read as "the image is not there".
"""

from __future__ import annotations


class OciError(Exception):
    """Base of all errors of this package."""

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(what, why, remedy)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.why}\n{self.remedy}"


class InvalidReference(OciError, ValueError):
    """A text that is no reference, repository, registry, tag or digest."""


class InvalidManifest(OciError, ValueError):
    """Content that is no usable image manifest or image index."""


class BlobMismatch(OciError):
    """A blob on this machine that is missing or is not what its descriptor says."""


class NotKept(OciError):
    """A blob that could be fetched, but not be written down on this machine."""


class CredentialsError(OciError):
    """A Docker configuration or credential helper that cannot be used."""


class NotFound(OciError):
    """A definite 404: the registry was asked properly and says that there is no such thing."""


class Refused(OciError):
    """The registry understood the request and declined it (400, 405, 409, 412, 413, ...)."""

    def __init__(self, what: str, why: str, remedy: str, *, status: int) -> None:
        super().__init__(what, why, remedy)
        self.status = status


class TagConflict(OciError):
    """A write-once tag that already names another digest; nothing was written."""

    def __init__(self, what: str, why: str, remedy: str, *, present: str, wanted: str) -> None:
        super().__init__(what, why, remedy)
        self.present = present
        self.wanted = wanted


class Unanswered(OciError):
    """The registry could not be asked: neither presence nor absence is known."""


class Unauthorized(Unanswered):
    """401, also after the token was renewed once."""


class Forbidden(Unanswered):
    """403. Never repeated."""


class Throttled(Unanswered):
    """429 until the time for retries was over, or asked to wait longer than that."""


class Unavailable(Unanswered):
    """5xx or no connection until the time for retries was over."""


class InvalidResponse(Unanswered):
    """Nonsense from the other side: HTML, truncated JSON, a wrong digest or media type, an oversize body."""
