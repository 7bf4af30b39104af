"""Labels in messages."""

def shown(label):
    """A label as people write it in the main repository: `//package:name`, and canonical for any other repository's."""
    return str(label) if label.repo_name else str(label).removeprefix("@@")
