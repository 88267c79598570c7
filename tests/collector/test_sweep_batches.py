from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orlop.gc.sweep import sweep_batches

NUMBERS = list(range(12))
graphs = st.dictionaries(
    st.sampled_from(NUMBERS), st.lists(st.sampled_from(NUMBERS), max_size=4), max_size=12
)


def reachable(start: int, graph: dict[int, list[int]]) -> set[int]:
    seen: set[int] = set()
    waiting = list(graph.get(start, []))
    while waiting:
        node = waiting.pop()
        if node in graph and node not in seen:
            seen.add(node)
            waiting.extend(graph[node])
    return seen


@given(graph=graphs, size=st.integers(1, 5), first=st.sets(st.sampled_from(NUMBERS), max_size=2))
def test_referrers_go_first_and_cycles_whole(
    graph: dict[int, list[int]], size: int, first: set[int]
) -> None:
    garbage = list(graph)
    first &= set(garbage)

    cut = list(sweep_batches(garbage, lambda node: graph.get(node, []), size=size, first=first))

    assert sorted(node for piece in cut for node in piece) == sorted(garbage)
    place = {node: number for number, piece in enumerate(cut) for node in piece}
    for node in garbage:
        for target in reachable(node, graph):
            assert place[node] <= place[target], "a referrer goes before what it refers to"
            if node in reachable(target, graph):
                assert place[node] == place[target], "a cycle goes whole"
    if first:
        assert {place[node] for node in first} == {0}
    order = {node: number for number, node in enumerate(garbage)}
    for piece in cut[1 if first else 0 :]:
        assert len(piece) <= size or all(
            piece[0] == node or piece[0] in reachable(node, graph) for node in piece
        ), "only a cycle is larger than a piece"
    for piece in cut:
        assert piece == sorted(piece, key=order.__getitem__)


def test_a_chain_of_any_length_is_cut() -> None:
    chain = list(range(20_000))
    onward = dict(pairwise(chain))

    cut = list(
        sweep_batches(
            chain[::-1], lambda node: [onward[node]] if node in onward else [], size=1_000
        )
    )

    assert [len(piece) for piece in cut] == [1_000] * 20
    assert cut[0][-1] == chain[0]
    assert cut[-1][0] == chain[-1]
