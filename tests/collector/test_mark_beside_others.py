"""A first mark yields to threads and signals, compiled or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bolt.turns_of_others import Handler
from collector.records import Records, digest_of

if TYPE_CHECKING:
    from orlop import Database

IMAGES = 1_000
BLOBS_AN_IMAGE = 5
GC = "containerd.io/gc."


def test_a_first_mark_and_the_collection_after_it(bare: Database) -> None:
    with bare.update() as update:
        records = Records(update.transaction, bare.clock.now())
        for number in range(0, IMAGES * BLOBS_AN_IMAGE, BLOBS_AN_IMAGE):
            blobs = [digest_of(number + one) for one in range(BLOBS_AN_IMAGE)]
            records.image("ns1", f"image-{number}", blobs[0])
            refers = {f"{GC}ref.content.{one}": blob for one, blob in enumerate(blobs[1:])}
            records.blob("ns1", blobs[0], refers)
            for blob in blobs[1:]:
                records.blob("ns1", blob)
    handler = Handler()

    handler.watch(bare.gc.run)
    with bare.update():
        for number in range(0, IMAGES * BLOBS_AN_IMAGE, 2 * BLOBS_AN_IMAGE):
            bare.namespace("ns1").images.delete(f"image-{number}")
    handler.watch(bare.gc.run)

    handler.check()
    assert len(list(bare.namespace("ns1").content.walk())) == IMAGES * BLOBS_AN_IMAGE // 2
