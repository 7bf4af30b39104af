"""The one error of this package: what failed, why, and what to do next."""

from __future__ import annotations


class PipError(Exception):
    """Something that the user must hear of, in three parts."""

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(what, why, remedy)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n  Why: {self.why}\n  What to do: {self.remedy}".replace("\n\n", "\n")
