"""A signal while a meta is checked raises in the program, and does not end it."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import signal
from orlop.bolt.meta import Meta, decode_meta
from orlop.schema.codec.encoding import decode_time, encode_time
from whenever import Instant

class AlarmError(Exception):
    pass

def on_alarm(*_):
    raise AlarmError

signal.signal(signal.SIGALRM, on_alarm)
meta = Meta(4096, 0, 3, (1 << 64) - 1, 2, (1 << 64) - 1, (1 << 64) - 1)
written = encode_time(Instant.MIN)
raised = 0
for number in range(2000):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0002 + number % 97 * 0.000001)
        while True:
            assert decode_meta(meta.encode()) == meta
            assert meta.bytes_in_use
            assert decode_time(written) == Instant.MIN
    except AlarmError:
        raised += 1
print(raised)
"""


def test_a_signal_during_a_checksum_is_an_exception() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "2000\n"), done.stderr
