"""The engine that Orlop has today fulfils the contract: on files and in small pages."""

from __future__ import annotations

import tempfile
import unittest
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings

from kv.bolt_stores import BOLT_LIMITS, DiskStore, FaultyDiskStore, FileStore
from orlop.testing.engine import ContractSuite, FailureSuite
from orlop.testing.engine.machine import EngineMachine
from orlop.testing.engine.sequences import SequenceSuite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.testing.engine import FaultyStore, Store


class TestFileWithoutFreelist(ContractSuite):
    limits = BOLT_LIMITS

    @contextmanager
    def store(self) -> Iterator[Store]:
        with tempfile.TemporaryDirectory() as directory:
            yield FileStore(Path(directory, "meta.db"))


class TestFileWithFreelist(ContractSuite):
    limits = BOLT_LIMITS

    @contextmanager
    def store(self) -> Iterator[Store]:
        with tempfile.TemporaryDirectory() as directory:
            yield FileStore(Path(directory, "meta.db"), freelist_sync=True)


class TestSmallPages(ContractSuite, FailureSuite):
    limits = BOLT_LIMITS

    @contextmanager
    def store(self) -> Iterator[Store]:
        yield DiskStore()

    @contextmanager
    def faulty_store(self) -> Iterator[FaultyStore]:
        yield FaultyDiskStore()


class SmallPagesMachine(EngineMachine):
    @contextmanager
    def new_store(self) -> Iterator[Store]:
        yield DiskStore()


TestSmallPagesMachine = SmallPagesMachine.TestCase
TestSmallPagesMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_the_suite_needs_no_particular_runner() -> None:
    class Case(SequenceSuite, unittest.TestCase):
        @contextmanager
        def store(self) -> Iterator[Store]:
            yield DiskStore()

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert result.testsRun == sum(name.startswith("test_") for name in dir(SequenceSuite)) > 5
    assert result.wasSuccessful(), result.failures
