"""Testing how large an image is."""

load("@rules_python//python:defs.bzl", "py_test")
load("//tools/image/private:subject.bzl", "declare_subject")

def image_size_test(name, image, max_mb = None, max_new_mb_vs = {}, size = "small", **kwargs):
    """Tests how much of an image has to be kept and sent, and prints its layers, those it shares, and their sizes.

    Counted is what a registry keeps: the compressed layers of each platform, in MB of 1,000,000 bytes. It is known from
    the layers' metadata; no blob is read, nor fetched from a remote cache.

    Args:
      name: name of the test.
      image: label of the image_index.
      max_mb: what the image of each platform may have.
      max_new_mb_vs: dict from the label of another image_index to what the image of each platform may have that the other
        one's does not: `{"//base:image": 5}`.
      size: Bazel's test size.
      **kwargs: common attributes of tests.
    """
    if max_mb == None and not max_new_mb_vs:
        fail("image_size_test %s: there is no limit, so nothing could fail. Give it max_mb or max_new_mb_vs." % name)
    tags = kwargs.get("tags", [])
    subjects = [name + "_subject"]
    args = ["--subject", _subject(subjects[0], image, tags)]
    if max_mb != None:
        args.append("--max-bytes=%d" % _bytes(max_mb))
    for number, (other, limit) in enumerate(max_new_mb_vs.items()):
        subject = "%s_subject_%d" % (name, number)
        subjects.append(subject)
        args += ["--max-new-bytes", _subject(subject, other, tags), str(_bytes(limit))]
    py_test(
        name = name,
        size = size,
        srcs = [Label("//tools/image/testing:size_check.py")],
        main = Label("//tools/image/testing:size_check.py"),
        args = args,
        data = [":" + subject for subject in subjects],
        deps = [Label("//tools/image/testing:subject")],
        **kwargs
    )

def _bytes(megabytes):
    return int(megabytes * 1000000)

def _subject(name, image, tags):
    """Declares a subject and names its file, quoted, since Bazel splits arguments as a shell does."""
    return "'%s/subject.json'" % declare_subject(name, "sizes", image, tags)
