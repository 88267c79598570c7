"""The contract as tests: any engine behind `orlop.kv` must pass them.

Classes of plain test methods, for any runner: subclass `ContractSuite` and say how a store is
made. Where the tests can put the storage below the engine in place, `FailureSuite` asks what
becomes of failures; with hypothesis, `orlop.testing.engine.machine` plays the engine against a
dictionary.

    class TestOurEngine(ContractSuite):
        @contextmanager
        def store(self):
            with TemporaryDirectory() as directory:
                yield OurStore(directory)
"""

from orlop.testing.engine.buckets import BucketSuite
from orlop.testing.engine.cursors import CursorSuite, IterationSuite
from orlop.testing.engine.failures import FailureSuite, FaultyStore
from orlop.testing.engine.isolation import IsolationSuite
from orlop.testing.engine.lifecycle import LifecycleSuite
from orlop.testing.engine.moving import MovingSuite
from orlop.testing.engine.refusals import RefusalSuite
from orlop.testing.engine.sequences import SequenceSuite
from orlop.testing.engine.serials import SerialSuite
from orlop.testing.engine.store import Limits, Store
from orlop.testing.engine.threads import ThreadSuite
from orlop.testing.engine.touching import TouchingSuite
from orlop.testing.engine.transactions import TransactionSuite
from orlop.testing.engine.trees import TreeSuite

__all__ = ["ContractSuite", "FailureSuite", "FaultyStore", "Limits", "Store"]


class ContractSuite(
    BucketSuite,
    RefusalSuite,
    MovingSuite,
    CursorSuite,
    IterationSuite,
    SequenceSuite,
    SerialSuite,
    TouchingSuite,
    TreeSuite,
    TransactionSuite,
    IsolationSuite,
    LifecycleSuite,
    ThreadSuite,
):
    """Every clause of the contract that needs no failures."""
