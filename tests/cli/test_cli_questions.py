"""`orlop why`, `roots`, `referrers`, `owner`, `gc plan --without`: for scripts and for people."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from cli.players import CONTENT, root_of

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

NAME = "example.com/greeting:v1"
TIME = "2026-11-24T12:00:00Z"
NATIVE = "io.containerd.snapshotter.v1.native"


def manifest(orlop: Orlop) -> str:
    (image,) = orlop("image", "ls", "--json", "-n", "default").objects()
    return str(image["target"]["digest"])


def keys(plan: Any) -> set[str]:
    return {one["key"] for one in plan["remove"]}


def test_why_names_root_edges_and_what_is_held(with_image: Orlop) -> None:
    digest = manifest(with_image)
    answer = with_image("why", digest, "--json").document()
    node = {"type": "content", "namespace": "default", "key": digest}
    image = {"type": "image", "namespace": "default", "key": NAME}
    assert answer == {
        "node": node,
        "exists": True,
        "held": True,
        "paths": [
            [
                {"node": image, "edge": "image", "flat": False},
                {"node": node, "edge": "target", "flat": False},
            ]
        ],
        "complete": True,
    }
    assert with_image("why", digest[:15]).lines == [
        f'content {digest} in namespace "default" is held:',
        f"  image {NAME} (an image that has not expired) --target--> content {digest}",
    ]


def test_why_says_what_is_not_held_and_why(with_image: Orlop) -> None:
    digest = manifest(with_image)
    with_image("image", "rm", NAME)
    answer = with_image("why", digest, "--json", code=1).document()
    assert (answer["held"], answer["paths"]) == (False, [])
    assert answer["reason"] == "nothing refers to it"
    assert answer["would_hold"] == []
    (line,) = with_image("why", digest, code=1).lines
    assert line == f'nothing holds content {digest} in namespace "default": nothing refers to it'

    layer = next(one for one in _digests(with_image) if one != digest)
    lines = with_image("why", layer, code=1).lines
    assert lines[0].endswith(f": only what goes too refers to it: content {digest}")
    assert lines[1].startswith(f"  content {digest} --containerd.io/gc.ref.content")
    assert lines[1].endswith(": nothing refers to it")


def test_why_of_a_lease_that_will_have_expired(with_image: Orlop) -> None:
    digest = manifest(with_image)
    with_image("lease", "create", "mine", "--expires", "1h")
    with_image("lease", "add", "mine", "content", digest)
    with_image("image", "rm", NAME)
    assert "lease mine (a lease that has not expired) --content-->" in with_image("why", digest).out
    lines = with_image("why", digest, "--now", "2199-01-01T00:00:00Z", code=1).lines
    assert 'lease "mine", which held it, expired at' in lines[0]
    assert lines[1].startswith("  lease mine --content--> content sha256:")
    assert ": it expired at 20" in lines[1]


def test_why_of_what_is_not_there(with_image: Orlop) -> None:
    answer = with_image("why", "nothing-like-this", code=3)
    assert answer.out == ""
    assert answer.err.startswith('orlop: "nothing-like-this" in any namespace: not found; ')
    # A name that is held is explained, though there is no such record.
    missing = "sha256:" + "1" * 64
    with_image("lease", "create", "mine")
    with_image("lease", "add", "mine", "content", missing)
    answer = with_image("why", missing)
    assert answer.lines[0] == (
        f'content {missing} in namespace "default", which does not exist, is held:'
    )
    assert with_image("why", missing, "--json").document()["exists"] is False
    with_image("why", missing, "-n", "other", code=3)


def test_an_ambiguous_beginning_names_the_candidates(with_image: Orlop) -> None:
    for name in ("c0ffee-one", "c0ffee-two"):
        with_image("container", "create", name)
    answer = with_image("why", "c0ffee", code=2)
    assert answer.err == (
        'orlop: "c0ffee" is ambiguous: container:c0ffee-one in default, '
        "container:c0ffee-two in default: invalid argument\n"
    )
    assert "c0ffee-one" in with_image("why", "c0ffee-o").out


def test_the_same_in_several_namespaces(with_image: Orlop, greeting: Path) -> None:
    with_image("image", "import", greeting, "-n", "other", "-q")
    with_image("image", "rm", NAME, "-n", "other")
    digest = manifest(with_image)
    answers = with_image("why", digest, "--json").objects()
    assert [(one["node"]["namespace"], one["held"]) for one in answers] == [
        ("default", True),
        ("other", False),
    ]
    with_image("why", digest, "-n", "other", code=1)
    assert len(with_image("why", digest, "-n", "default", "--json").objects()) == 1


def test_paths_are_limited_for_people_only(with_image: Orlop) -> None:
    missing = "sha256:" + "1" * 64
    for number in range(3):
        with_image("lease", "create", f"lease-{number}")
        with_image("lease", "add", f"lease-{number}", "content", missing)
    shown = with_image("why", missing, "--limit", "2").lines
    assert (len(shown), shown[-1]) == (4, "  and by more: --limit 0 shows all")
    assert len(with_image("why", missing, "--limit", "0").lines) == 4
    assert len(with_image("why", missing).lines) == 4
    answer = with_image("why", missing, "--json").document()
    assert (len(answer["paths"]), answer["complete"]) == (3, True)
    answer = with_image("why", missing, "--json", "--limit", "2").document()
    assert (len(answer["paths"]), answer["complete"]) == (2, False)
    with_image("why", missing, "--limit", "-1", code=2)


def test_roots_and_what_they_are_until(with_image: Orlop) -> None:
    with_image("lease", "create", "mine", "--expires", "1h")
    with_image("container", "create", "c1")
    roots = {one["key"]: one for one in with_image("roots", "--json").objects()}
    assert set(roots) == {"mine", "c1", NAME}
    assert roots["mine"]["rule"] == "lease"
    assert roots["mine"]["expires_at"].startswith("20")
    assert roots[NAME] == {
        "type": "image",
        "namespace": "default",
        "key": NAME,
        "rule": "image",
        "expires_at": None,
        "references": 1,
    }
    assert with_image("roots").lines[0].split()[:4] == ["TYPE", "NAMESPACE", "KEY", "BECAUSE"]
    later = with_image("roots", "--now", "2199-01-01T00:00:00Z", "--json").objects()
    assert {one["key"] for one in later} == {"c1", NAME}
    assert with_image("roots", "-n", "other", "--json").objects() == []


def test_dangling_references_are_told_and_harm_nothing(with_image: Orlop) -> None:
    missing = "sha256:" + "1" * 64
    with_image("lease", "create", "mine")
    with_image("lease", "add", "mine", "content", missing)
    with_image("lease", "add", "mine", "snapshots/nobody", "key")  # a snapshotter never used
    assert "2 references lead to what does not exist" in with_image("roots").err
    found = with_image("roots", "--dangling", "--json").objects()
    assert [(one["node"]["key"], one["edge"], one["target"]["key"]) for one in found] == [
        ("mine", "content", missing),
        ("mine", "snapshots", "nobody/key"),
    ]
    assert with_image("gc", "plan", "-v", "--json").document()["dangling"] == found
    plan = with_image("gc", "plan", "-v")
    assert "references to what does not exist:" in plan.lines
    assert missing in plan.out
    assert "dangling" not in with_image("gc", "plan", "--json").document()


def test_referrers_hold_or_do_not(with_image: Orlop) -> None:
    digest = manifest(with_image)
    (link,) = with_image("referrers", digest, "--json").objects()
    assert (link["node"]["key"], link["edge"], link["holds"]) == (NAME, "target", True)
    assert link["target"]["key"] == digest
    assert with_image("referrers", digest).lines[1].endswith("holds it")
    with_image("image", "label", NAME, "containerd.io/gc.expire=2001-01-01T00:00:00Z")
    (link,) = with_image("referrers", digest, "--json").objects()
    assert (link["holds"], link["standing"]) == (False, "loose")
    with_image("referrers", f"image:{NAME}", code=1)
    with_image("referrers", "nothing-like-this", code=3)


def test_owner_of_paths(with_image: Orlop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = manifest(with_image)
    blob = with_image.root / CONTENT / "blobs" / "sha256" / digest[7:]
    answer = with_image("owner", blob, "--json").document()
    assert answer == {
        "path": str(blob),
        "kind": "blob",
        "place": digest,
        "snapshotter": "",
        "name": digest,
        "owners": [{"type": "content", "namespace": "default", "key": digest, "held": True}],
    }
    (tmp_path / "link").symlink_to(with_image.root)
    monkeypatch.chdir(tmp_path)
    inside = f"link/{NATIVE}/snapshots/1/etc/not-there"
    answer = with_image("owner", inside, "--json").document()
    assert (answer["kind"], answer["place"], answer["snapshotter"]) == ("snapshot", "1", "native")
    assert len(answer["owners"]) == 1
    lines = with_image("owner", inside).lines
    assert lines[0].startswith(f"{inside} is snapshot native/1 (")
    assert lines[1].endswith('in namespace "default", which is held')

    with_image("image", "rm", NAME)
    assert with_image("owner", blob).lines[1].endswith("which nothing holds")
    with_image("content", "rm", digest)
    assert with_image("owner", blob, code=1).lines[1] == (
        "  no record: the next collection removes it"
    )
    assert "no metadata names it" in with_image("why", blob, code=1).out
    for path in ("/", "/proc/version", with_image.root):
        assert "as a blob, an ingest or a snapshot" in with_image("owner", path, code=3).err


def test_a_plan_without_an_image(with_image: Orlop) -> None:
    everything = with_image("gc", "plan", "--without", f"image:{NAME}", "--json")
    assert everything.err == f'without image "{NAME}" in namespace "default":\n'
    plan = everything.document()
    assert with_image("gc", "plan", "--json").document()["remove"] == []
    with_image("image", "rm", NAME)
    assert with_image("gc", "plan", "--json").document() == plan


def test_a_plan_without_a_label_and_without_several(with_image: Orlop) -> None:
    digest = manifest(with_image)
    label = "containerd.io/gc.ref.content.config"
    short = with_image("gc", "plan", "--without", f"content:{digest[:14]}#{label}", "--json")
    config = next(
        one["target"]["key"]
        for one in (
            link
            for blob in keys(short.document()) & set(_digests(with_image))
            for link in with_image("referrers", f"content:{blob}", "--json").objects()
        )
        if one["edge"] == label
    )
    assert config in keys(short.document())
    with_image("lease", "create", "mine")
    with_image("lease", "add", "mine", "content", digest)
    assert (
        with_image("gc", "plan", "--without", "image:greeting", "--json").document()["remove"] == []
    )
    both = with_image("gc", "plan", "--without", "image:greeting", "--without", "lease:mine")
    assert both.lines[-1].startswith("8 would be removed, which frees ")
    assert with_image("gc", "plan", "--without", "image:none", code=3).out == ""
    assert "label or field" in with_image("gc", "plan", "--without", f"image:{NAME}#x", code=3).err
    assert "TYPE:KEY" in with_image("gc", "plan", "--without", "greeting", code=2).err


def _digests(orlop: Orlop) -> list[str]:
    return [one["digest"] for one in orlop("content", "ls", "--json").objects()]


@pytest.mark.parametrize("number", [1, 4, 8])
def test_questions_of_a_bare_file(orlop: Orlop, data: Path, tmp_path: Path, number: int) -> None:
    file = tmp_path / "meta.db"
    shutil.copy(data / "gc" / f"gc-{number:02}.db", file)
    expected = json.loads((data / "gc" / f"gc-{number:02}.json").read_text(encoding="utf-8"))
    removed = {(one["type"], one["namespace"], one["key"]) for one in expected["removed"]}
    before = file.read_bytes()
    some = sorted(removed)[:: max(1, len(removed) // 5)]
    for kind, namespace, key in some:
        answer = orlop(
            "--db", file, "-n", namespace, "why", f"{kind}:{key}", "--now", TIME, "--json", code=1
        )
        assert answer.document()["reason"]
    held = [
        one
        for one in orlop("--db", file, "roots", "--now", TIME, "--json").objects()
        if one["type"] in {"content", "snapshot", "image", "lease"}
    ]
    for one in held[:5]:
        reference = f"{one['type']}:{one['key']}"
        orlop("--db", file, "-n", one["namespace"], "why", reference, "--now", TIME)
        plan = orlop(
            "--db", file, "-n", one["namespace"], "gc", "plan", "--now", TIME,
            "--without", reference, "--json",
        ).document()  # fmt: skip
        assert one["key"] not in keys(plan)
    assert file.read_bytes() == before


def test_questions_of_a_golden_root(orlop: Orlop, data: Path, tmp_path: Path) -> None:
    root = root_of(data, "v2-08b-sandbox", tmp_path / "daemon")
    folder = root / "io.containerd.snapshotter.v1.overlayfs" / "snapshots"
    owners = [
        orlop("--root", root, "owner", folder / f"{number}/fs/bin", "--json").document()["owners"]
        for number in range(1, 5)
    ]
    assert all(one["type"] == "snapshot" for several in owners for one in several)
    assert all(len(several) >= 1 for several in owners)
    (ingest,) = (root / CONTENT / "ingest").iterdir()
    answer = orlop("--root", root, "owner", ingest / "data", "--json").document()
    assert [one["key"] for one in answer["owners"]] == ["partial-ref"]
    # The same from the bare file in its place, and paths of stores are found by its root.
    file = root / "io.containerd.metadata.v1.bolt" / "meta.db"
    assert orlop("--db", file, "owner", ingest, "--json").document()["owners"] == answer["owners"]
