"""What has to be built before the release can start."""

import os
from pathlib import Path


def test_the_release_has_no_app_and_no_image_among_its_files() -> None:
    top = Path(os.environ["TEST_SRCDIR"])
    files = {str(path.relative_to(top)) for path in top.rglob("*") if not path.is_dir()}
    assert any(file.endswith("/release/command_line.py") for file in files)
    images = ("/apps/", "/tools/image/", "/tools/debian/", ".tar.gz", ".index.json", ".descriptor.json")
    assert [file for file in files if any(part in file for part in images)] == []
