"""Names of namespaces, containers and sandboxes: they are safe as parts of a path.

Source: github.com/containerd/containerd, pkg/identifiers.
"""

from __future__ import annotations

import re
from typing import Final

from orlop.errors import InvalidArgumentError

MAX_LENGTH: Final = 76
"""The longest identifier, in bytes."""

_WORD: Final = "[A-Za-z0-9]+"
_IDENTIFIER: Final = re.compile(rf"{_WORD}(?:[._-]{_WORD})*")


def validate(text: str) -> None:
    """Check that `text` is an identifier.

    Raises:
        InvalidArgumentError: it is empty, too long, or has other characters than words of
            letters and digits with single dots, dashes or underscores between them.
    """
    if not text:
        raise InvalidArgumentError("an identifier is required, but it is empty")
    length = len(text.encode(errors="surrogatepass"))
    if length > MAX_LENGTH:
        raise InvalidArgumentError(
            f"identifier {text[:MAX_LENGTH]!a}... has {length} bytes, "
            f"but at most {MAX_LENGTH} are allowed"
        )
    if not _IDENTIFIER.fullmatch(text):
        raise InvalidArgumentError(
            f"identifier {text!a} must be words of ASCII letters and digits "
            "with single '.', '_' or '-' between them"
        )
