"""Documents of images: refused forms, and their errors."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import InvalidArgumentError
from orlop.oci import documents
from orlop.oci.platforms import Platform, accepted, parse_platform, ranking

DIGEST = "sha256:" + "0" * 64
CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": 1}
PARSERS = [
    documents.parse_index,
    documents.parse_manifest,
    documents.parse_config,
    documents.parse_saved,
    documents.parse_layout,
]

KEYS = st.sampled_from(
    [
        *("manifests", "config", "layers", "size", "digest", "mediaType", "rootfs", "diff_ids"),
        *("annotations", "platform", "os", "Config", "RepoTags"),
    ]
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(KEYS, children),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_read_or_refused(document: object) -> None:
    data = json.dumps(document).encode()
    for parse in PARSERS:
        try:
            parse(data, "here")
        except InvalidArgumentError as error:
            assert str(error)  # noqa: PT017 - it must be one of ours, whatever else it says


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 200_000, b"9" * 9000])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    for parse in PARSERS:
        with pytest.raises(InvalidArgumentError, match="here"):
            parse(data, "here")


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": True},
        {"size": 1.0},
        {"size": float("inf")},
        {"size": 1 << 63},
        {"size": None},
        {"digest": "sha256:short"},
        {"digest": "../../etc/passwd"},
        {"digest": None},
        {"mediaType": 5},
        {"annotations": {"a": 1}},
        {"annotations": []},
    ],
)
def test_a_faulty_descriptor_is_refused(change: dict[str, object]) -> None:
    for document in ({"config": {**CONFIG, **change}}, {"manifests": [{**CONFIG, **change}]}):
        parse = documents.parse_manifest if "config" in document else documents.parse_index
        with pytest.raises(InvalidArgumentError):
            parse(json.dumps(document).encode(), "here")


def test_an_index_is_no_manifest_and_the_other_way_round() -> None:
    manifest = json.dumps({"config": CONFIG, "layers": []}).encode()
    with pytest.raises(InvalidArgumentError, match="a manifest where an index"):
        documents.parse_index(manifest, "here")
    with pytest.raises(InvalidArgumentError, match="an index where a manifest"):
        documents.parse_manifest(b'{"manifests":[]}', "here")
    with pytest.raises(InvalidArgumentError, match="schema 1"):
        documents.parse_manifest(b'{"fsLayers":[1]}', "here")


def test_json_is_written_as_go_does() -> None:
    text = '<a&b>\u2028\x08\x0c\n"\\b\x7f\x01é\ud800'
    expected = (
        '{"k":"\\u003ca\\u0026b\\u003e\\u2028\\u0008\\u000c\\n\\"\\\\b\x7f\\u0001é\ufffd","l":[]}'
    )
    assert documents.encode({"k": text, "l": []}) == expected.encode()


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AMD64/v1", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("macos/arm64", "darwin/arm64"),
    ],
)
def test_platforms_have_usual_names(text: str, usual: str) -> None:
    assert str(parse_platform(text)) == usual


def test_what_runs_where() -> None:
    def shown(text: str) -> list[str]:
        return [str(each) for each in accepted(parse_platform(text))]

    assert shown("linux/amd64") == ["linux/amd64", "linux/386"]
    assert shown("linux/amd64/v3") == [
        "linux/amd64/v3",
        "linux/amd64/v2",
        "linux/amd64",
        "linux/386",
    ]
    assert shown("linux/arm/v6") == ["linux/arm/v6", "linux/arm/v5"]
    assert shown("linux/arm64")[:2] == ["linux/arm64", "linux/arm/v8"]
    rank = ranking(parse_platform("linux/amd64"))
    assert rank(Platform(os="linux", architecture="x86_64")) == 0
    assert rank(Platform(os="linux", architecture="arm64")) is None
    assert rank(None) == 2
    for faulty in ("linux", "linux/", "a/b/c/d", ""):
        with pytest.raises(InvalidArgumentError):
            parse_platform(faulty)
