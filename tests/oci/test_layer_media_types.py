"""The media types that containerd unpacks as layers."""

from __future__ import annotations

import pytest

from orlop.oci import mediatypes

DOCKER = "application/vnd.docker.image.rootfs."
OCI = "application/vnd.oci.image.layer."


@pytest.mark.parametrize(
    "media_type",
    [
        *(f"{DOCKER}{rest}" for rest in ("diff.tar", "diff.tar.gzip", "diff.tar.zstd")),
        *(f"{DOCKER}foreign.{rest}" for rest in ("diff.tar", "diff.tar.gzip")),
        *(f"{OCI}v1.tar{rest}" for rest in ("", "+gzip", "+zstd", "+gzip+encrypted")),
        *(f"{OCI}nondistributable.v1.tar{rest}" for rest in ("", "+gzip", "+zstd")),
    ],
)
def test_layers(media_type: str) -> None:
    assert mediatypes.is_layer(media_type)


@pytest.mark.parametrize(
    "media_type",
    ["", "application/json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", DOCKER],
)
def test_other_data(media_type: str) -> None:
    assert not mediatypes.is_layer(media_type)
