"""Copies across two sets of pictures, by what is kept of them."""

import numpy as np
import pytest

from jtransfer.data.duplicates.copies import find_copies, fingerprints
from tests.data.planted import COPIES, originals


@pytest.fixture(scope='module')
def pictures():
    return originals()


def test_different_pictures_are_no_copies(pictures):
    half = len(pictures) // 2
    assert find_copies(fingerprints(pictures[:half]), fingerprints(pictures[half:]), 12) == []
    assert find_copies(fingerprints([]), fingerprints(pictures), 12) == []


@pytest.mark.parametrize('copy', COPIES)
def test_planted_copies_are_found_and_nothing_else(pictures, copy):
    chosen = [7, 2, 5]
    copies = [np.ascontiguousarray(COPIES[copy](pictures[index])) for index in chosen]
    assert find_copies(fingerprints(copies), fingerprints(pictures), 8) == list(enumerate(chosen))


def test_plain_pictures_are_copies_of_nothing():
    plain = [np.full((40, 40, 3), grey, np.uint8) for grey in (0, 128)]
    assert find_copies(fingerprints(plain), fingerprints(plain), 8) == []


def test_only_the_part_in_the_box_counts(pictures):
    whole = pictures[0]
    height, width = whole.shape[:2]
    cut = whole[height // 4 : height - height // 4, width // 4 : width - width // 4]
    found = fingerprints([whole], np.array([[0.25, 0.25, 0.5, 0.5]]))
    assert find_copies(fingerprints([cut]), found, 8) == [(0, 0)]
    assert find_copies(fingerprints([cut]), fingerprints([whole]), 8) == []
