"""Every test of the contract suite can fail: for each there is an engine that breaks its clause."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from kv import bucket_faults as buckets
from kv import cursor_faults as cursors
from kv import engine_faults as engines
from kv import path_faults as paths
from kv import unawaited_faults as unawaited
from kv.bolt_stores import BOLT_LIMITS
from kv.wrapped_engine import Kinds, WrappedStore
from orlop.kv import EngineError
from orlop.testing.engine import ContractSuite, FailureSuite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.testing.engine import FaultyStore, Store

BREAKS: dict[str, list[Kinds]] = {
    # Values
    "a_new_database_is_empty": [
        Kinds(bucket=buckets.CountsFromTwo),
        Kinds(store=engines.BeginsWithABucket),
    ],
    "a_value_is_returned_as_it_was_put": [Kinds(bucket=buckets.CutsZerosOff)],
    "an_empty_value_is_a_value": [Kinds(bucket=buckets.TakesEmptyForMissing)],
    "a_put_replaces_the_value": [Kinds(bucket=buckets.KeepsTheFirstValue)],
    "a_deleted_value_is_gone": [Kinds(bucket=buckets.DeletesNothing)],
    "deleting_what_is_not_there_does_nothing": [
        Kinds(bucket=buckets.RefusesToDeleteWhatIsMissing),
        Kinds(bucket=buckets.DeletesTheNextOne),
    ],
    "a_name_stands_for_a_value_or_for_a_bucket": [Kinds(bucket=buckets.TakesBucketsForValues)],
    "items_name_values_and_buckets": [Kinds(bucket=buckets.ShowsBucketsAsEmptyValues)],
    "keys_are_ordered_bytewise": [
        Kinds(bucket=buckets.OrdersShortKeysFirst),
        Kinds(bucket=buckets.OrdersSignedBytes),
    ],
    "many_values_of_all_sizes_are_kept": [Kinds(bucket=buckets.CutsValuesOff)],
    "the_longest_key_is_kept": [Kinds(bucket=buckets.CutsKeysOff)],
    "a_large_value_is_kept": [Kinds(bucket=buckets.CutsValuesOff)],
    # Nested buckets
    "a_created_bucket_is_empty_and_found": [Kinds(bucket=buckets.ReturnsTheOuterBucket)],
    "create_bucket_if_absent_returns_what_is_there": [Kinds(bucket=buckets.EmptiesWhatIsThere)],
    "two_handles_on_one_bucket_see_the_same": [
        Kinds(bucket=buckets.ListsWhatWasThereWhenItWasOpened)
    ],
    "a_deleted_bucket_is_gone_with_all_it_holds": [Kinds(bucket=buckets.DeletesNoBucket)],
    "a_bucket_that_is_made_again_is_empty": [Kinds(bucket=buckets.RemembersCounters)],
    "a_name_can_become_the_other_kind": [Kinds(bucket=buckets.KeepsNamesForOneKind)],
    "many_buckets_are_kept": [Kinds(bucket=buckets.HoldsFewBuckets)],
    "buckets_nest_a_hundred_deep": [Kinds(bucket=buckets.NestsToFifty)],
    "a_bucket_deeper_than_the_limit_is_refused": [Kinds(bucket=buckets.NestsWithoutEnd)],
    # Refusals
    "an_empty_key_is_refused": [Kinds(bucket=buckets.IgnoresEmptyKeys)],
    "a_key_that_is_too_long_is_refused": [Kinds(bucket=buckets.IgnoresLongKeys)],
    "a_value_that_is_too_long_is_refused": [Kinds(bucket=buckets.IgnoresLongValues)],
    "a_bucket_is_not_taken_for_a_value": [Kinds(bucket=buckets.ReplacesBuckets)],
    "a_value_is_not_taken_for_a_bucket": [
        Kinds(bucket=buckets.ReplacesValues),
        Kinds(bucket=buckets.DeletesWhatItRefuses),
    ],
    "a_bucket_is_not_created_twice": [Kinds(bucket=buckets.CreatesTwice)],
    "a_missing_bucket_is_not_deleted": [Kinds(bucket=buckets.DeletesMissingBuckets)],
    "the_outermost_bucket_holds_buckets_only": [Kinds(bucket=buckets.HoldsValuesOutermost)],
    "a_reader_may_not_write": [Kinds(bucket=buckets.LetsReadersCount)],
    "a_handle_on_a_deleted_bucket_is_refused": [Kinds(bucket=buckets.AnswersForTheDeleted)],
    "a_refusal_leaves_the_transaction_of_use": [Kinds(transaction=engines.CommitsNothing)],
    # Touching
    "values_touch_their_bucket": [Kinds(transaction=engines.TouchesWhatItLiesIn)],
    "buckets_touch_themselves": [
        Kinds(transaction=engines.TouchesWhatItLiesIn),
        Kinds(transaction=engines.ForgetsWhatIsDeepest),
    ],
    "a_moved_bucket_touches_both_places": [Kinds(transaction=engines.ForgetsWhatIsDeepest)],
    # Numbers of changes
    "each_change_has_the_next_number": [Kinds(engine=unawaited.CountsEveryWriter)],
    "what_is_left_to_the_next_counts_at_once": [Kinds(engine=unawaited.CountsWhatIsDurable)],
    # Trees
    "a_tree_is_all_that_a_bucket_holds": [Kinds(bucket=buckets.ForgetsWhatIsNested)],
    "trees_come_in_order_and_from_anywhere": [Kinds(bucket=buckets.ListsTreesBackward)],
    "a_writer_sees_its_own_trees": [Kinds(bucket=buckets.ForgetsWhatIsNested)],
    "a_tree_is_created_with_all_it_holds": [Kinds(bucket=buckets.CreatesTreesWithoutWhatIsNested)],
    "a_tree_that_cannot_be_is_refused_whole": [Kinds(bucket=buckets.CreatesTreesInParts)],
    "a_created_tree_touches_its_bucket": [Kinds(bucket=buckets.CreatesTreesInParts)],
    # Moving
    "a_bucket_moves_with_all_it_holds": [Kinds(bucket=buckets.MovesWithoutCounters)],
    "a_bucket_moves_to_and_from_the_outermost_one": [
        Kinds(bucket=buckets.MovesNotFromTheOutermost)
    ],
    "handles_on_a_moved_bucket_stay_good": [Kinds(bucket=buckets.MovesACopy)],
    "a_bucket_moves_there_and_back": [Kinds(bucket=buckets.MovesOnlyOnce)],
    "a_rollback_takes_a_move_back": [Kinds(transaction=engines.CommitsAtRollback)],
    "what_cannot_move_is_refused": [Kinds(bucket=buckets.IgnoresMovesThatCannotBe)],
    "a_move_to_a_name_that_is_taken_is_refused": [Kinds(bucket=buckets.MovesOverWhatIsThere)],
    "a_move_into_itself_is_refused": [Kinds(bucket=buckets.IgnoresMovesThatCannotBe)],
    "a_move_into_another_transaction_is_refused": [Kinds(bucket=buckets.IgnoresMovesThatCannotBe)],
    # Cursors
    "moves_return_the_item_they_land_on": [Kinds(cursor=cursors.SkipsEverySecond)],
    "past_either_end_there_is_nothing": [Kinds(cursor=cursors.BeginsAgainAtTheEnd)],
    "a_new_cursor_stands_nowhere": [Kinds(cursor=cursors.BeginsAgainAtTheEnd)],
    "in_an_empty_bucket_no_move_finds_anything": [Kinds(cursor=cursors.InventsAnItem)],
    "seek_goes_to_the_key_or_to_the_next_greater_one": [
        Kinds(cursor=cursors.FindsOnlyTheKeyItself)
    ],
    "a_cursor_walks_over_many_items_both_ways": [Kinds(cursor=cursors.TiresOnLongWalks)],
    "cursors_move_apart": [Kinds(bucket=cursors.SharesItsCursor)],
    "a_cursor_deletes_the_value_that_it_stands_on": [Kinds(cursor=cursors.MovesOnWhenItDeletes)],
    "a_cursor_does_not_delete_a_bucket": [Kinds(cursor=cursors.DeletesBuckets)],
    "deleting_while_walking_passes_every_item_once": [Kinds(cursor=cursors.MovesOnWhenItDeletes)],
    "what_is_deleted_under_a_cursor_is_passed_over": [Kinds(cursor=cursors.WalksOverWhatWasThere)],
    "what_is_put_in_front_of_a_cursor_is_met": [Kinds(cursor=cursors.WalksOverWhatWasThere)],
    "putting_much_while_walking_loses_no_item": [Kinds(cursor=cursors.WalksOverWhatWasThere)],
    "a_changed_value_is_met_as_it_is_now": [Kinds(cursor=cursors.WalksOverWhatWasThere)],
    "a_cursor_goes_on_from_a_key_that_was_deleted_and_put_again": [
        Kinds(cursor=cursors.IsLostByADelete)
    ],
    # Iteration
    "items_begin_at_the_start_that_is_asked_for": [Kinds(bucket=buckets.StartsBehindTheStart)],
    "items_may_be_deleted_while_iterating": [Kinds(bucket=buckets.IteratesByPlace)],
    "items_may_be_put_while_iterating": [Kinds(bucket=buckets.IteratesByPlace)],
    "iterators_move_apart": [Kinds(bucket=buckets.SharesItsIterator)],
    # Counters
    "a_new_bucket_counts_from_one": [
        Kinds(bucket=buckets.CountsFromTwo),
        Kinds(bucket=buckets.ReturnsTheOldCount),
    ],
    "a_counter_can_be_set": [Kinds(bucket=buckets.NeverCountsBack)],
    "a_counter_has_64_bits": [Kinds(bucket=buckets.CountsWithAFloat)],
    "each_bucket_counts_for_itself": [Kinds(bucket=buckets.CountsInOnePlace)],
    "a_counter_is_kept_over_commit_and_reopening": [Kinds(bucket=buckets.ForgetsItsCountAtAPut)],
    "the_outermost_bucket_can_be_all_that_counts": [Kinds(bucket=buckets.CountsOnlyInside)],
    "a_rollback_takes_the_counter_back": [Kinds(transaction=engines.CommitsAtRollback)],
    # Transactions
    "a_commit_is_seen_by_those_that_begin_after_it": [Kinds(transaction=engines.CommitsNothing)],
    "a_commit_that_is_left_to_the_next_one": [
        Kinds(transaction=unawaited.CommitsNothingWithTheNext)
    ],
    "a_commit_that_is_left_to_the_close": [Kinds(transaction=unawaited.CommitsNothingWithTheNext)],
    "a_rollback_leaves_nothing": [Kinds(transaction=engines.CommitsAtRollback)],
    "a_block_commits_at_its_end": [Kinds(transaction=engines.RollsBackAtTheEndOfItsBlock)],
    "an_exception_that_leaves_the_block_rolls_back": [
        Kinds(transaction=engines.CommitsWhateverHappens)
    ],
    "a_transaction_may_end_inside_its_block": [Kinds(transaction=engines.CommitsWhateverHappens)],
    "the_block_of_a_reader_ends_it": [Kinds(transaction=engines.OutlivesItsBlock)],
    "what_has_ended_does_not_commit": [
        Kinds(transaction=engines.CommitsTwice),
        Kinds(transaction=engines.RollsBackOnce),
    ],
    "a_rollback_after_a_commit_takes_nothing_back": [
        Kinds(transaction=engines.RollsBackWhoeverWrites)
    ],
    "a_reader_does_not_commit": [Kinds(transaction=engines.LetsReadersCommit)],
    "a_transaction_knows_whether_it_may_write": [Kinds(transaction=engines.AlwaysSaysItWrites)],
    "handles_end_with_their_transaction": [Kinds(bucket=engines.OutlivesItsTransaction)],
    "an_ended_writer_does_not_reach_the_next_one": [Kinds(bucket=engines.ReachesTheNextWriter)],
    "numbers_grow_with_every_version": [Kinds(transaction=engines.NumbersVersionsInPairs)],
    "a_rollback_makes_no_version": [Kinds(transaction=engines.CommitsAtRollback)],
    # Isolation
    "a_reader_does_not_see_what_is_not_committed": [
        Kinds(transaction=engines.ShowsWhatIsNotCommitted)
    ],
    "a_reader_stays_at_its_version": [Kinds(transaction=engines.ShowsReadersTheNewest)],
    "a_bucket_is_found_by_its_path": [
        Kinds(transaction=paths.FindsTheNewestByPath),
        Kinds(transaction=paths.FindsByPathWhatWasCommitted),
    ],
    "iterators_and_cursors_of_a_reader_stay_at_its_version": [
        Kinds(bucket=engines.IteratesOverTheNewest)
    ],
    "readers_of_several_versions_see_each_its_own": [
        Kinds(transaction=engines.ShowsReadersTheNewest)
    ],
    "a_writer_sees_its_own_changes": [Kinds(bucket=engines.ShowsWritersWhatIsDurable)],
    "a_writer_sees_what_the_one_before_it_committed": [
        Kinds(transaction=engines.CommitsAtRollback)
    ],
    "readers_and_a_writer_do_not_wait_for_each_other": [Kinds(engine=engines.LetsReadersWait)],
    # The engine
    "what_was_committed_is_there_after_reopening": [Kinds(store=engines.BeginsEmptyEachTime)],
    "numbers_go_on_after_reopening": [Kinds(engine=engines.NumbersHandlesApart)],
    "closing_twice_is_allowed": [Kinds(engine=engines.ClosesOnce)],
    "a_closed_engine_begins_nothing": [Kinds(engine=engines.NeverCloses)],
    "open_readers_are_of_no_use_after_closing": [Kinds(engine=engines.KeepsReadersGoing)],
    "closing_rolls_back_a_writer_of_the_same_thread": [
        Kinds(engine=engines.CommitsWhatIsOpen),
        Kinds(engine=engines.LeavesWritersOpen),
    ],
    "closing_waits_for_a_writer_of_another_thread": [Kinds(engine=engines.ClosesUnderItsWriters)],
    "an_engine_knows_whether_it_only_reads": [Kinds(engine=engines.NeverOnlyReads)],
    "a_handle_that_only_reads_takes_no_lock": [Kinds(store=engines.LocksForReading)],
    "what_a_handle_that_only_reads_takes_for_good_was_one_version": [
        Kinds(transaction=engines.TakesWhatIsStale)
    ],
    "one_writer_at_a_time": [
        Kinds(engine=engines.LetsWritersInTogether),
        Kinds(engine=engines.DoesNotWait),
    ],
    "a_writer_that_waits_gets_its_turn": [Kinds(engine=engines.DoesNotWait)],
    # Threads
    "eight_threads_lose_no_update": [Kinds(transaction=engines.LosesEveryTenthCommit)],
    "a_reader_sees_all_of_a_transaction_or_nothing": [Kinds(bucket=engines.CommitsEveryPut)],
    "numbers_tell_which_version_came_first": [
        Kinds(transaction=engines.NumbersEveryTransactionAlike)
    ],
    "readers_in_many_threads_keep_their_versions": [Kinds(bucket=engines.CommitsEveryPut)],
    # Failures
    "a_power_loss_takes_nothing_that_was_committed": [Kinds(store=engines.MakesNothingDurable)],
    "a_failed_commit_is_not_acknowledged": [Kinds(transaction=engines.HidesFailures)],
    "a_commit_does_not_return_before_it_is_durable": [
        Kinds(transaction=engines.AnswersBeforeTheDisk)
    ],
    "who_has_seen_what_is_not_durable_answers_when_it_is": [
        Kinds(transaction=engines.AnswersBeforeTheDisk)
    ],
    "what_was_built_on_a_failure_fails_with_it": [Kinds(transaction=engines.HidesFailures)],
}


class WrappedSuite(ContractSuite, FailureSuite):
    """Not collected by itself: pytest looks for names that begin with Test."""

    limits = BOLT_LIMITS
    kinds = Kinds()

    @contextmanager
    def store(self) -> Iterator[Store]:
        yield self.made()

    @contextmanager
    def faulty_store(self) -> Iterator[FaultyStore]:
        yield self.made()

    def made(self) -> WrappedStore:
        return self.kinds.store(self.kinds)


class TestWrappedEngineWithoutFault(WrappedSuite):
    """The wrappers alone break no clause, so that failures below come from the faults."""


FAULTS = [
    pytest.param(clause, kinds, id=f"{_name}-{clause}")
    for clause, every in BREAKS.items()
    for kinds in every
    for _name in ["-".join(kind.__name__ for kind in kinds if kind not in set(Kinds()))]
]


@pytest.mark.parametrize(("clause", "kinds"), FAULTS)
def test_the_fault_is_found(clause: str, kinds: Kinds) -> None:
    suite = WrappedSuite()
    suite.kinds = kinds
    with pytest.raises((AssertionError, EngineError)):
        getattr(suite, f"test_{clause}")()


def test_every_test_of_the_suite_can_fail() -> None:
    tests = {name.removeprefix("test_") for name in dir(WrappedSuite) if name.startswith("test_")}
    assert tests == set(BREAKS)
