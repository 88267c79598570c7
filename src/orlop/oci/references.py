"""Names of images as Docker writes them and as containerd parses them.

`alpine` means `docker.io/library/alpine:latest`; archives of `docker save` hold the short
form, containerd keeps the long one.

Source: github.com/distribution/reference; github.com/containerd/containerd, pkg/reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from orlop import digests
from orlop.errors import InvalidArgumentError

_DOMAIN_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REFERENCE = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>.+))?"
)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_REFERENCE_NAME = re.compile(r"[A-Za-z0-9]+(?:(?:[-._:@+/]|--)[A-Za-z0-9]+)*")
_LONGEST_NAME = 255
_LONGEST = 1024
_DEFAULT_DOMAIN = "docker.io"
_OLD_DEFAULT_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A name with its domain written out; `tag` and `digest` are empty where not given."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.domain}/{self.path}{self.object}"

    @property
    def object(self) -> str:
        """The tag and the digest, with their separators."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag


def parse_reference(text: str) -> Reference:
    """Read a name as Docker does.

    Raises:
        InvalidArgumentError: it is no name of an image.
    """
    if _IDENTIFIER.fullmatch(text):
        raise InvalidArgumentError(f"image name {text!r}: 64 hexadecimal digits are an identifier")
    domain, slash, remainder = text.partition("/")
    if not slash or (not set(".:") & set(domain) and domain != "localhost"):
        domain, remainder = _DEFAULT_DOMAIN, text
    if domain == _OLD_DEFAULT_DOMAIN:
        domain = _DEFAULT_DOMAIN
    if domain == _DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL + remainder
    # Nothing longer can be a name, a tag and a digest; a long text would stall the pattern.
    match = _REFERENCE.fullmatch(f"{domain}/{remainder}") if len(text) <= _LONGEST else None
    if match is None or len(match["domain"]) + 1 + len(match["path"]) > _LONGEST_NAME:
        raise InvalidArgumentError(
            f"image name {text!r}: write [host/]name[:tag], with the name in lower case"
        )
    digest = match["digest"] or ""
    if digest:
        digests.validate(digest)
    return Reference(
        domain=match["domain"], path=match["path"], tag=match["tag"] or "", digest=digest
    )


def normalize(text: str) -> str:
    """Return the full name: with a digest it loses its tag, with neither it gets `latest`.

    Raises:
        InvalidArgumentError: it is no name of an image.
    """
    reference = parse_reference(text)
    if reference.digest:
        return str(replace(reference, tag=""))
    return str(replace(reference, tag=reference.tag or "latest"))


def familiar(text: str) -> str:
    """Return the short name that Docker shows for a full one.

    Raises:
        InvalidArgumentError: it is no name of an image.
    """
    reference = parse_reference(text)
    if not reference.tag and not reference.digest:
        reference = replace(reference, tag="latest")
    if reference.domain != _DEFAULT_DOMAIN:
        return str(reference)
    path = reference.path
    if path.count("/") == 1:
        path = path.removeprefix(_OFFICIAL)
    return path + reference.object


def object_of(name: str) -> str:
    """Return the tag or `@digest` of a name, as containerd parses it.

    A name in which containerd finds no repository is returned whole.
    """
    rest = re.split(r"[?#]", name, maxsplit=1)[0]
    authority, _, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    port = host.rpartition("]")[2].partition(":")[2]
    if "://" in name or not host or re.search(r"[^0-9]", port) or re.search(r"[%\s]", name):
        return name
    found = re.search(r"[:@]", path)
    return path[found.start() :].removeprefix(":") if found else ""


def is_reference_name(text: str) -> bool:
    """Whether a text may be the annotation that says how an image is called in a layout.

    Source: OCI image spec, annotations.md, `org.opencontainers.image.ref.name`.
    """
    return _REFERENCE_NAME.fullmatch(text) is not None


def has_object(name: str) -> bool:
    """Whether a name ends in a tag or a digest."""
    return "@" in name or ":" in name.rpartition("/")[2]


def with_base(text: str, base: str) -> str:
    """Return the full name for `text` in an archive: a bare tag is put behind `base`."""
    return text if set("/:@") & set(text) else f"{base}:{text}"


def is_below(name: str, base: str) -> bool:
    """Whether `name` is `base`, or a tag, digest or path below it."""
    return name == base or (name.startswith(base) and name[len(base)] in "/:@")
