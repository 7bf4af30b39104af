"""The one error of this folder."""


class DebianError(Exception):
    """Something about Debian packages that cannot be done.

    Attributes:
      what: what failed, with the package or file.
      why: the reason, in the words of the tool that gave it.
      remedy: what to do next.
    """

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(f"{what}\n  Why: {why}\n  What to do: {remedy}")
        self.what = what
        self.why = why
        self.remedy = remedy
