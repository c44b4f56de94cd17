"""Duplicates in a source: what is found, what is not, and what a split must keep together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.duplicates.find import Duplicates, Pair, across, find_duplicates, merge_groups
from jtransfer.data.sources.arrays import ArraySource
from tests.data.planted import COPIES, originals


def source_of(pictures):
    return ArraySource(list(pictures), [i % 2 for i in range(len(pictures))], ('a', 'b'))


class Damaged:
    """A source some of whose examples cannot be read."""

    def __init__(self, source, damaged):
        self.class_names, self.labels, self.ids = source.class_names, source.labels, source.ids
        self._source, self._damaged = source, damaged

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        if index in self._damaged:
            raise UnreadableImageError(f'{self.ids[index]} is truncated or not an image')
        return self._source[index]


@pytest.fixture(scope='module')
def pictures():
    return originals()


def ends(duplicates):
    return {(pair.first, pair.second): pair.kind for pair in duplicates.pairs}


def test_different_pictures_are_no_duplicates(pictures):
    found = find_duplicates(source_of(pictures), distance=12)
    assert found.pairs == ()
    assert found.components() == []
    assert found.unreadable == ()
    assert sorted(found.groups) == list(range(len(pictures)))


@pytest.mark.parametrize('copy', COPIES)
def test_planted_copies_are_found_and_nothing_else(pictures, copy):
    copies = [np.ascontiguousarray(COPIES[copy](picture)) for picture in pictures]
    found = find_duplicates(source_of(pictures + copies), workers=2)
    n = len(pictures)
    assert ends(found) == {(i, i + n): 'near' for i in range(n)}
    assert all(0 <= pair.distance <= 8 for pair in found.pairs)


def test_the_same_pixels_are_exact_duplicates_of_the_first(pictures):
    found = find_duplicates(source_of([*pictures[:4], pictures[1].copy(), pictures[1].copy()]))
    assert found.pairs == (Pair(1, 4, 'exact', 0.0), Pair(1, 5, 'exact', 0.0))
    assert [group.tolist() for group in found.components()] == [[1, 4, 5]]


def test_near_copies_of_exact_copies_are_of_one_component(pictures):
    smaller = COPIES['half the size'](pictures[2])
    found = find_duplicates(source_of([*pictures[:3], pictures[2], smaller, smaller]))
    assert ends(found) == {(2, 3): 'exact', (2, 4): 'near', (4, 5): 'exact'}
    assert found.components()[0].tolist() == [2, 3, 4, 5]


def test_plain_pictures_are_duplicates_only_of_the_same_colour_and_size():
    plain = [np.full((40, 40, 3), value, np.uint8) for value in (0, 10, 200, 10)]
    plain.append(np.full((41, 40, 3), 10, np.uint8))
    assert ends(find_duplicates(source_of(plain), distance=32)) == {(1, 3): 'exact'}


def test_pixels_of_another_shape_are_other_pictures():
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8)
    assert not find_duplicates(source_of([pixels.reshape(4, 6, 3), pixels.reshape(6, 4, 3)])).pairs


def test_digits_of_eight_pixels_are_no_duplicates_unless_they_are_the_same():
    images = (load_digits().images[:600] * 15).astype(np.uint8)
    images = np.concatenate([images, images[5:6]])
    source = ArraySource(images, np.arange(len(images)) % 10, [str(i) for i in range(10)])
    assert ends(find_duplicates(source)) == {(5, 600): 'exact'}


def test_the_distance_is_the_largest_that_counts(pictures):
    copies = [COPIES['JPEG 50'](picture) for picture in pictures]
    every = find_duplicates(source_of(pictures + copies)).pairs
    least = min(pair.distance for pair in every)
    assert least < max(pair.distance for pair in every)
    only = find_duplicates(source_of(pictures + copies), distance=int(least)).pairs
    assert only == tuple(pair for pair in every if pair.distance <= least)


def test_more_pictures_than_are_compared_at_a_time(pictures, monkeypatch):
    from jtransfer.data.duplicates import find as duplicates

    everything = source_of(pictures + [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures])
    whole = find_duplicates(everything)
    for name, value in (('_ROWS', 7), ('_COLUMNS', 11), ('_CANDIDATES', 3)):
        monkeypatch.setattr(duplicates, name, value)
    for workers in (0, 3):
        again = find_duplicates(everything, workers=workers)
        assert again.pairs == whole.pairs
        assert len(again.pairs) == len(pictures)


@pytest.mark.parametrize('workers', [0, 2])
def test_unreadable_pictures_stop_the_search_or_are_listed(pictures, workers):
    source = Damaged(source_of([*pictures[:5], pictures[0]]), {1, 3})
    with pytest.raises(UnreadableImageError, match='array/1 is truncated'):
        find_duplicates(source, workers=workers)
    found = find_duplicates(source, workers=workers, skip_unreadable=True)
    assert found.unreadable == ('array/1', 'array/3')
    assert ends(found) == {(0, 5): 'exact'}
    assert len(found.groups) == 6


def test_nothing_readable_is_nothing_found(pictures):
    source = Damaged(source_of(pictures[:2]), {0, 1})
    found = find_duplicates(source, skip_unreadable=True, further=lambda part: pytest.fail('asked'))
    assert found.pairs == ()
    assert found.unreadable == source.ids


def test_further_pairs_are_of_the_readable_examples(pictures):
    source, seen = Damaged(source_of([*pictures[:4], pictures[0]]), {1}), []

    def further(part):
        seen.extend(part.ids)
        return [Pair(0, 3, 'embedding', 0.0), Pair(1, 2, 'embedding', 0.05)]

    found = find_duplicates(source, skip_unreadable=True, further=further)
    assert seen == ['array/0', 'array/2', 'array/3', 'array/4']
    assert found.pairs == (Pair(0, 4, 'exact', 0.0), Pair(2, 3, 'embedding', 0.05))


def test_progress_counts_every_picture(pictures):
    told = []
    find_duplicates(source_of(pictures[:3]), progress=lambda done, all: told.append((done, all)))
    assert told == [(1, 3), (2, 3), (3, 3)]


PAIRS = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: pair[0] < pair[1]), max_size=12, unique=True
)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(PAIRS, st.none() | st.lists(st.sampled_from('abcdef'), min_size=12, max_size=12))
def test_merged_groups_are_the_finest_that_keep_groups_and_duplicates_together(pairs, own):
    found = Duplicates.of([Pair(*pair, 'near', 1.0) for pair in pairs], 12)
    merged = merge_groups(found.groups, own)
    # Repeated joining, the slow way.
    expected = list(range(12))
    links = [*pairs, *((i, j) for i in range(12) for j in range(i) if own and own[i] == own[j])]
    for _ in range(12):
        for i, j in links:
            expected[i] = expected[j] = min(expected[i], expected[j])
    same = np.equal.outer(expected, expected)
    assert (np.array([[a == b for b in merged] for a in merged]) == same).all()
    if own:
        assert merged == tuple(own[number] for number in expected)
    components = [component.tolist() for component in Duplicates.of(found.pairs, 12).components()]
    assert sum(map(len, components)) == len({end for pair in pairs for end in pair})


def test_pairs_across_parts():
    pairs = [Pair(0, 1, 'exact', 0.0), Pair(1, 2, 'near', 3.0), Pair(2, 3, 'near', 1.0), Pair(3, 4, 'near', 1.0)]
    assert across(pairs, ['train', 'train', 'test', None, 'train']) == [pairs[1]]
    assert across(pairs, np.array([0, 0, 1, 1, 0])) == [pairs[1], pairs[3]]
