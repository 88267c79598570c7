"""The contract as tests: any engine behind `orlop.kv` must pass them.

Classes of plain test methods, for any runner: subclass `ContractSuite` and say how a store is
made. Where the tests can put the storage below the engine in place, `FailureSuite` asks what
becomes of failures; with hypothesis, `orlop.kv.suite.machine` plays the engine against a
dictionary.

    class TestOurEngine(ContractSuite):
        @contextmanager
        def store(self):
            with TemporaryDirectory() as directory:
                yield OurStore(directory)
"""

from orlop.kv.suite.buckets import BucketSuite
from orlop.kv.suite.cursors import CursorSuite, IterationSuite
from orlop.kv.suite.failures import FailureSuite, FaultyStore
from orlop.kv.suite.isolation import IsolationSuite
from orlop.kv.suite.lifecycle import LifecycleSuite
from orlop.kv.suite.moving import MovingSuite
from orlop.kv.suite.refusals import RefusalSuite
from orlop.kv.suite.sequences import SequenceSuite
from orlop.kv.suite.serials import SerialSuite
from orlop.kv.suite.store import Limits, Store
from orlop.kv.suite.threads import ThreadSuite
from orlop.kv.suite.touching import TouchingSuite
from orlop.kv.suite.transactions import TransactionSuite
from orlop.kv.suite.trees import TreeSuite

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
