"""What a wheel library tells the rules that use it."""

WheelInfo = provider(
    doc = "One distribution of a lock, in the wheels that fit the target platform.",
    fields = {
        "digests": "list of string: SHA-256 of each of `wheels`, in hexadecimal; empty where it is not known",
        "directory": "File: the folder (tree artifact) that the wheels are unpacked to",
        "distribution": "string: normalised name, such as charset-normalizer",
        "pure": "bool: there is one wheel, and it fits every platform",
        "site_packages": "string: path of `directory` among runfiles, which is an entry of Python's search path",
        "size": "int: bytes of the largest of the wheels",
        "version": "string: version",
        "wheels": "list of File: the .whl files; for a container exactly one, for the host one for each interpreter where they differ",
    },
)
