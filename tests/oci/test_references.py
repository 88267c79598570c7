"""Names of images; the expectations are those of containerd 1.6.20's own packages."""

from __future__ import annotations

import time

import pytest

from orlop.errors import InvalidArgumentError
from orlop.oci import references

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "short"),
    [
        ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("alpine:3", "docker.io/library/alpine:3", "alpine:3"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("index.docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("docker.io/library/a/b:1", "docker.io/library/a/b:1", "library/a/b:1"),
        ("localhost/app:1", "localhost/app:1", "localhost/app:1"),
        ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
        ("example.com/a_b/c--d:V.1", "example.com/a_b/c--d:V.1", "example.com/a_b/c--d:V.1"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}", f"alpine@{DIGEST}"),
        (f"alpine:3@{DIGEST}", f"docker.io/library/alpine@{DIGEST}", f"alpine:3@{DIGEST}"),
    ],
)
def test_names_grow_and_shrink(text: str, full: str, short: str) -> None:
    assert references.normalize(text) == full
    assert references.familiar(text) == short


@pytest.mark.parametrize(
    "text",
    ["", "Upper", "a" * 64, "a//b", "-a", "a:", ":tag", "a:b:c", "a@sha256:abc", "a b", "a__", "é"],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        references.normalize(text)


def test_a_hostile_name_does_not_stall() -> None:
    begun = time.monotonic()
    for text in ("a" * 300_000, "a-" * 500 + "!", "a.a" * 300 + "/!", "-" * 1000 + "a"):
        with pytest.raises(InvalidArgumentError):
            references.normalize(text)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("docker.io/library/alpine:3", "3"),
        ("localhost:5000/x:v1", "v1"),
        (f"example.com/x@{DIGEST}", f"@{DIGEST}"),
        (f"example.com/x:v1@{DIGEST}", f"v1@{DIGEST}"),
        ("example.com/x", ""),
        ("alpine:latest", "alpine:latest"),
        ("alpine:3", ""),
        (":80/x:t", "t"),
    ],
)
def test_the_object_is_what_containerd_sees(name: str, found: str) -> None:
    assert references.object_of(name) == found
