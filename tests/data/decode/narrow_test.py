"""Tests of jtransfer/data/decode/narrow.py."""

from jtransfer.data.decode.narrow import Narrow, narrow_note, narrow_of


def test_less_than_a_quarter_of_the_range():
    assert narrow_of(0, 4095) == Narrow(0, 4095, True)
    assert narrow_of(40_000, 41_000) == Narrow(40_000, 41_000, True)
    assert narrow_of(0, 2**14 - 1) is not None
    assert narrow_of(0, 2**14) is None
    assert narrow_of(0, 0) is None  # nothing but black


def test_note():
    found = {'a/1.png': Narrow(3, 3000, True), 'a/2.png': Narrow(0, 2000, True)}
    some = narrow_note(found, 10)
    assert some.endswith('; data.pixel_range=0,4095 says which values are black and white in all images of 16 bits')
    note = narrow_note(found, 2)
    assert note.startswith('2 of 2 images have 16 bits and use less than a quarter of their range (first a/1.png: 3 to')
    assert note.endswith('; data.pixel_range=0,4095 says which values are black and white')
    high = {'a\x1b.png': Narrow(40_000, 41_000, True)}
    assert 'first a\\x1b.png: 40,000' in narrow_note(high, 1)
    assert 'data.pixel_range=40000,41000 says' in narrow_note(high, 1)
    assert narrow_note({'a': Narrow(0, 9, False)}, 1).endswith(
        'scale them to 8 bits (data.pixel_range is for grey images in files alone)'
    )
