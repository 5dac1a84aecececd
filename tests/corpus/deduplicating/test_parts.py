"""The parts of deduplication by themselves: shingles, buckets, clusters, sets on disk, counts."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import pytest

from domainvl.corpus.deduplicating import comparing
from domainvl.corpus.deduplicating.arrays import SetFile, pack, unpack
from domainvl.corpus.deduplicating.choosing import Duplicate, exact_duplicates, near_duplicates
from domainvl.corpus.deduplicating.comparing import bucket_pairs, can_be_alike, jaccard, plan_chunks, split_pairs
from domainvl.corpus.deduplicating.counting import Counts, count_documents
from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.shingles import Shingler, normalise, words_of
from domainvl.corpus.deduplicating.signatures import band_keys, signatures
from domainvl.corpus.tables import write_table


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The  CT, of 2.5\u00a0mm.", ["the", "ct", "of", "2", "5", "mm"]),
        ("\uff26ull width", ["full", "width"]),
        ("\u5de6\u80ba\u7ed3\u8282 5mm", ["\u5de6", "\u80ba", "\u7ed3", "\u8282", "5mm"]),
        ("\u304b\u306a\u30ab\u30ca", ["\u304b", "\u306a", "\u30ab", "\u30ca"]),
        ("\ud55c\uad6d\uc5b4 \ubb38\uc11c", ["\ud55c\uad6d\uc5b4", "\ubb38\uc11c"]),  # Korean has blanks
        ("\u0e44\u0e17\u0e22", ["\u0e44", "\u0e17", "\u0e22"]),
        ("...", []),
    ],
    ids=["english", "full width", "chinese", "japanese", "korean", "thai", "no words"],
)
def test_words_are_divided_as_their_script_does(text, words):
    assert words_of(normalise(text)) == words


def test_shingles_are_a_set_of_runs_in_their_order():
    shingler = Shingler(3)
    assert len(shingler.shingles("a b c a b c".split())) == 3
    assert len(shingler.shingles("a b".split())) == 0
    assert not set(shingler.shingles("a b c".split())) & set(shingler.shingles("c b a".split()))
    assert Shingler(3).shingles("x a b c".split())[:0].dtype == np.uint64
    assert set(shingler.shingles("a b c".split())) < set(Shingler(3).shingles("z a b c".split()))


def test_signatures_agree_in_as_many_places_as_sets_are_alike():
    draw = np.random.default_rng(0)
    for share in (0.2, 0.5, 0.8):
        common = round(400 * share)
        agreed = []
        for _ in range(20):
            numbers = draw.integers(0, 2**63, 800 - common, np.uint64)
            made = signatures([np.sort(numbers[:400]), np.sort(numbers[400 - common :])], 128)
            agreed.append(np.mean(made[0] == made[1]))
        expected = common / (800 - common)
        assert np.mean(agreed) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / (128 * 20)))


def test_a_band_has_one_key_where_all_its_rows_are_equal():
    made = np.random.default_rng(1).integers(0, 2**32, (2, 12), np.uint32)
    made[1, :4] = made[0, :4]
    made[1, 4:7] = made[0, 4:7]
    made[1, 8:] = made[0, [9, 8, 10, 11]]
    keys = band_keys(made, DedupSettings(bands=3, rows=4))
    assert (keys[0] == keys[1]).tolist() == [True, False, False]


def test_pairs_of_a_bucket_are_all_pairs_of_equal_keys():
    keys = np.random.default_rng(2).integers(0, 40, 200).astype(np.uint64)
    numbers = np.arange(200) * 3
    expected = {(3 * i, 3 * j) for j in range(200) for i in range(j) if keys[i] == keys[j]}
    lower, higher = split_pairs(bucket_pairs(keys, numbers))
    assert list(zip(lower.tolist(), higher.tolist(), strict=True)) == sorted(expected)


def test_a_large_bucket_takes_linear_time_and_stays_connected():
    lower, higher = split_pairs(bucket_pairs(np.zeros(1000, np.uint64), np.arange(1000)))
    assert len(lower) <= 1000 * comparing.NEIGHBOURS
    assert set(range(1, 1000)) <= set(higher[lower == higher - 1].tolist())


def test_pairs_are_divided_without_loss(monkeypatch):
    monkeypatch.setattr(comparing, "_CHUNK_SHINGLES", 1000)
    draw = np.random.default_rng(4)
    counts = draw.integers(1, 900, 50)
    pairs = bucket_pairs(draw.integers(0, 5, 50).astype(np.uint64), np.arange(50))
    chunks = plan_chunks(pairs, counts)
    assert [place for chunk in chunks for place in range(chunk.begin, chunk.end)] == list(range(len(pairs)))
    assert len(chunks) > 10
    assert plan_chunks(pairs[:0], counts) == []


def test_sizes_rule_out_only_what_cannot_be_alike():
    counts = np.array([100, 80, 79])
    pairs = bucket_pairs(np.zeros(3, np.uint64), np.arange(3))
    assert can_be_alike(pairs, counts, 0.8).tolist() == [True, False, True]
    assert jaccard(np.arange(100, dtype=np.uint32), np.arange(80, dtype=np.uint32)) == 0.8


def test_documents_that_met_in_no_band_are_compared_within_their_cluster():
    # 0 - 1 and 1 - 2 met; 0 and 2 did not. The ranks say that 0 is the latest.
    def similarity(one: int, other: int) -> float:
        assert {one, other} == {0, 2}
        return 0.85

    found = near_duplicates(np.array([0, 1]), np.array([1, 2]), np.array([0.9, 0.95]), np.arange(3), similarity, 0.8)
    assert list(found) == [Duplicate(1, 0, 0.9), Duplicate(2, 0, 0.85)]


def test_what_goes_is_alike_to_what_stays_and_what_stays_is_not():
    draw = random.Random(6)
    alike = {(i, j): draw.uniform(0.8, 1.0) for j in range(60) for i in range(j) if draw.random() < 0.03}
    ranks = np.array(draw.sample(range(60), 60))
    lower, higher = (np.array([pair[side] for pair in alike]) for side in (0, 1))
    found = list(near_duplicates(lower, higher, np.array(list(alike.values())), ranks, lambda *_: 0.0, 0.8))
    gone = {one.number for one in found}
    assert gone
    for one in found:
        assert one.kept not in gone
        assert one.jaccard == alike[min(one.number, one.kept), max(one.number, one.kept)]
        assert ranks[one.kept] < ranks[one.number]
    assert all(i in gone or j in gone for i, j in alike)


def test_of_equal_digests_the_best_rank_stays():
    digests = np.array([b"x" * 16, b"y" * 16, b"x" * 16, b"x" * 15 + b"\0", b"y" * 16], dtype="S16")
    assert sorted(exact_duplicates(digests, np.array([2, 0, 1, 3, 4])), key=lambda one: one.number) == [
        Duplicate(0, 2, 1.0), Duplicate(4, 1, 1.0),
    ]  # fmt: skip


def test_sets_are_read_back_one_by_one(tmp_path):
    draw = np.random.default_rng(5)
    sets = [np.unique(draw.integers(0, 99, size, np.uint32)) for size in draw.integers(0, 9, 30)]
    wanted = np.array([0, 3, 9, 10, 29])
    SetFile.write(tmp_path, "it", wanted, iter([(0, sets[:10]), (10, sets[10:11]), (11, sets[11:])]))
    with SetFile(tmp_path, "it") as file:
        assert all(np.array_equal(file[int(number)], sets[number]) for number in wanted)


def test_arrays_are_read_back(tmp_path):
    given = {"a": np.arange(3, dtype=np.uint64), "b": np.empty(0, dtype=np.float64)}
    write_table(pack(given), tmp_path / "it")
    read = unpack(tmp_path / "it")
    assert {name: values.tolist() for name, values in read.items()} == {"a": [0, 1, 2], "b": []}


def test_documents_of_a_key_are_counted_with_the_one_that_keeps_it(tmp_path):
    draw = np.random.default_rng(8)
    members = {(int(key), number) for key, number in zip(draw.integers(0, 30, 90), range(90), strict=True)}
    keys, numbers = (np.array([pair[side] for pair in sorted(members)]) for side in (0, 1))
    ranks = draw.permutation(90)
    expected = defaultdict(list)
    for key, number in members:
        expected[key].append(number)
    parts = [
        count_documents(keys[keys % 2 == part].astype(np.uint64), numbers[keys % 2 == part], ranks, 3)
        for part in (1, 0)
    ]
    Counts.write(tmp_path, "it", parts)
    counts = Counts(tmp_path, "it")
    assert len(counts) == sum(len(found) >= 3 for found in expected.values())
    for key in range(32):
        found = expected.get(key, [])
        told = (len(found), min(found, key=lambda number: ranks[number])) if len(found) >= 3 else None
        assert counts.find(key) == told
