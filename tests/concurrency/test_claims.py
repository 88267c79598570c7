"""Claims on names in a backend, and the cleanup that takes names."""

from __future__ import annotations

import threading

import pytest

from orlop.concurrency.claims import Claims, ExclusiveClaim, ExclusiveClaims

SECONDS = 10


def test_what_is_claimed_cannot_be_taken() -> None:
    claims = Claims("it")
    with claims.claim("a", "b"), claims.claim("a"):
        with claims.take(["a", "b", "c"]) as taken:
            assert taken == {"c"}
        assert len(claims) == 2
    with claims.take(["a", "b", "c"]) as taken:
        assert taken == {"a", "b", "c"}
    assert len(claims) == 0


def test_a_claim_within_a_claim_lasts_as_long_as_the_outer_one() -> None:
    claims = Claims("it")
    with claims.claim("a"):
        with claims.claim("a"):
            pass
        with claims.take("a") as taken:
            assert not taken


def test_two_cleanups_never_have_the_same_name() -> None:
    claims = Claims("it")
    with claims.take("ab") as first, claims.take("bc") as second:
        assert first == {"a", "b"}
        assert second == {"c"}
        assert claims.is_taken("b")
    assert not claims.is_taken("b")


def test_a_claim_waits_until_a_name_is_not_taken_any_more() -> None:
    claims = Claims("it")
    order: list[str] = []

    def claim() -> None:
        with claims.claim("a"):
            order.append("claimed")

    thread = threading.Thread(target=claim)
    with claims.take("a"):
        thread.start()
        thread.join(0.05)
        order.append("taken")
    thread.join(SECONDS)
    assert order == ["taken", "claimed"]


def test_a_claim_does_not_wait_for_ever() -> None:
    claims = Claims("the store", timeout=0.01)
    with (
        claims.take("a"),
        pytest.raises(TimeoutError, match="the store did not end a cleanup"),
        claims.claim("a"),
    ):
        pass
    with claims.claim("a"):
        pass


def test_who_watches_sees_claims_of_before_and_meanwhile_and_none_of_later() -> None:
    claims = Claims("it")
    with claims.claim("before"), claims.watch() as watched, claims.watch() as other:
        with claims.claim("meanwhile"):
            pass
        assert watched == other == {"before", "meanwhile"}
    with claims.claim("later"):
        pass
    assert watched == {"before", "meanwhile"}


def test_a_name_has_one_owner_at_a_time() -> None:
    claims = ExclusiveClaims[ExclusiveClaim]()

    with claims.claim("a") as is_first, claims.claim("a") as is_second, claims.claim("b") as is_b:
        assert (is_first, is_second, is_b) == (True, False, True)
        assert claims.unclaimed(lambda: {"a", "b", "c"}) == ({"a", "b", "c"}, {"c"})
    assert not claims.is_claimed("a")


def test_a_refused_claim_ends_no_other_one() -> None:
    claims = ExclusiveClaims[ExclusiveClaim]()

    with claims.claim("a"):
        with claims.claim("a"):
            pass
        assert claims.is_claimed("a")


def test_an_owner_without_a_block_keeps_its_name_for_as_long_as_it_lives() -> None:
    claims = ExclusiveClaims[ExclusiveClaim]()
    owner, other = ExclusiveClaim(claims, "a"), ExclusiveClaim(claims, "a")

    assert claims.acquire("a", owner) is None
    assert claims.acquire("a", other) is owner
    del owner
    assert claims.acquire("a", other) is None
