"""The leak guard: copies stay on one side of a hold-out, or are told; what is known of them can be kept."""

import json

import numpy as np
import pytest
from PIL import Image

from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.duplicates import guard as leaks
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from tests.data.parts_test import data, disjoint, parts_of
from tests.data.planted import encoded, originals


def planted(**options):
    """Sixteen crops of photographs and textures, each with a copy: exact, encoded again, mirrored, or smaller."""
    ways = [
        lambda picture: picture,
        lambda picture: encoded(picture, 'JPEG', 75),
        lambda picture: np.ascontiguousarray(picture[:, ::-1]),
        lambda picture: np.asarray(Image.fromarray(picture).reduce(2)),
    ]
    pictures = originals()[:16]
    copies = [ways[index % 4](picture) for index, picture in enumerate(pictures)]
    return ArraySource([*pictures, *copies], np.arange(32) % 2, ('a', 'b'), **options)


def original(part):
    return (np.asarray(part.indices) % 16).tolist()


@pytest.mark.parametrize('fields', [{'validation_fraction': 0.25}, {'examples_per_class': 5}])
def test_copies_stay_on_one_side_of_a_hold_out_when_asked(fields):
    parts = load_parts(data(duplicates='group', **fields), 0, planted())
    assert disjoint(parts, original)
    assert parts.notes[0].startswith('duplicates: 16 pairs of pictures, 4 of them exact, such as array/0 and array/16')
    everyone = [part for part in (parts.train, parts.validation, parts.test) if part is not None]
    assert sum(map(len, everyone)) + sum(int(line.split()[0]) for line in parts.notes[1:]) == 32
    for how in ('report', 'ignore', 'auto'):
        divided = load_parts(data(duplicates=how, **fields), 0, planted())
        assert not disjoint(divided, original)
        assert divided.notes == (parts.notes[:1] if how == 'report' else ())


def test_copies_join_the_groups_of_the_source():
    groups = [f'scene {index // 2}' for index in range(32)]
    parts = load_parts(data(duplicates='group', validation_fraction=0.25), 0, planted(groups=groups))
    assert disjoint(parts, original)
    assert disjoint(parts, lambda part: part.groups)
    assert not disjoint(load_parts(data(validation_fraction=0.25), 0, planted(groups=groups)), original)


def test_copies_in_two_parts_of_the_source_are_told():
    pictures = originals()[:8]
    train = ArraySource(pictures, np.arange(8) % 2, ('a', 'b'), name='one')
    test = ArraySource(pictures[:2], [0, 1], ('a', 'b'), name='two')
    parts = load_parts(data(duplicates='report'), 0, {'train': train, 'test': test})
    assert parts.notes[1] == (
        '2 pairs of duplicates are in two parts of the data, such as one/0 (train) and two/0 (test)'
    )
    same = {'train': train, 'test': ArraySource([*pictures[:1], *originals()[9:10]], [0, 1], ('a', 'b'), name='one')}
    parts = load_parts(data(duplicates='report'), 0, same)
    assert parts.notes == (
        'duplicates: 1 pair of pictures, 1 of them exact, such as train/one/0 and test/one/0',
        '1 pair of duplicates is in two parts of the data, such as train/one/0 (train) and test/one/0 (test)',
    )


def test_an_unreadable_picture_stops_the_search_unless_it_is_skipped():
    class Torn(ArraySource):
        def __getitem__(self, index):
            if index == 3:
                raise UnreadableImageError('array/3 is torn')
            return super().__getitem__(index)

    torn = Torn(originals()[:12], np.arange(12) % 2, ('a', 'b'))
    with pytest.raises(UnreadableImageError, match='array/3 is torn'):
        load_parts(data(duplicates='group'), 0, torn)
    parts = load_parts(data(duplicates='group', skip_unreadable=True), 0, torn)
    assert sum(len(part) for part in parts_of(parts)) == 12  # left out where it is read


def test_a_record_gives_the_same_guard_back(tmp_path):
    sources = {'train': planted(), 'test': ArraySource(originals()[:2], [0, 1], ('a', 'b'), name='test')}
    guard = leaks.look(data(), sources)
    record = leaks.to_record(guard)
    assert (record['examples'], len(record['pairs']), record['unreadable']) == (34, 18, [])
    path = tmp_path / 'duplicates.json'
    path.write_text(json.dumps(record))
    again = leaks.read_record(path, sources)
    assert again.found.pairs == guard.found.pairs
    np.testing.assert_array_equal(again.found.groups, guard.found.groups)
    assert again.lines() == guard.lines()
    assert again.groups('train', None) == guard.groups('train', None)
    assert len(set(guard.groups('train', None))) == 16
    assert guard.groups('test', None) is None


@pytest.mark.parametrize('damage', ['', '[]', '{"format": "other"}', '{"pairs": [[[], 1, 2, 3]]}', None])
def test_a_record_of_something_else_is_one_line(tmp_path, damage):
    path = tmp_path / 'duplicates.json'
    if damage is None:
        guard = leaks.look(data(), {'train': ArraySource(originals()[:4], [0, 1] * 2, ('a', 'b'))})
        damage = json.dumps(leaks.to_record(guard))
    path.write_text(damage)
    with pytest.raises(
        UserError, match=r'does not list the duplicates among these 32 images|duplicates.json is damaged: .*; delete it'
    ):
        leaks.read_record(path, {'train': planted()})


def test_copies_joined_through_another_part_belong_together():
    pictures = originals()[:3]
    copy = encoded(pictures[0], 'JPEG', 80)
    train = ArraySource([pictures[0], copy, *pictures[1:]], [0, 1, 0, 1], ('a', 'b'), name='one')
    test = ArraySource([pictures[0], pictures[0]], [0, 1], ('a', 'b'), name='two')
    guard = leaks.look(data(), {'train': train, 'test': test})
    groups = guard.groups('train', None)
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3
    own = guard.groups('train', ['p', 'q', 'q', 'r'])
    assert own[0] == own[1] == own[2] != own[3]
