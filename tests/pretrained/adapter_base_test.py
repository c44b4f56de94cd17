"""What stands in the way of an adapter file's base is told before anything is loaded, and how the base is asked for."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.pretrained.adapter_base import on_base
from jtransfer.pretrained.checkpoint import ADAPTER_FORMAT
from jtransfer.pretrained.files.safetensors import write_safetensors
from jtransfer.pretrained.load.base import Base
from jtransfer.pretrained.load.stored import Stored


def adapter(path, base):
    """A file that says on what it stands."""
    needed = Base(str(base), '', 'ab' * 32)
    metadata = {'format': ADAPTER_FORMAT, 'base': json.dumps(dataclasses.asdict(needed))}
    write_safetensors(path, {'x': np.ones(1, np.float32)}, metadata)
    return Stored(path, {}, 'resnet_tiny', ('a', 'b'), ImagePreprocessor(16), {}), needed


def never(name, **settings):
    raise AssertionError(name)


@pytest.mark.parametrize('length', [1, 2, 9])
def test_files_that_stand_on_each_other_without_end(tmp_path, length):
    paths = [tmp_path / f'{index}.safetensors' for index in range(length)]
    (first, needed), *_ = [adapter(path, paths[(index + 1) % length]) for index, path in enumerate(paths)]
    with pytest.raises(UserError, match='whose base in the end is this one again, or none'):
        on_base(first, needed, '', never)


@pytest.mark.parametrize(('length', 'fits'), [(8, True), (9, False)])
def test_eight_files_may_stand_on_each_other(tmp_path, length, fits):
    paths = [tmp_path / f'{index}.safetensors' for index in range(length + 1)]
    (first, needed), *_ = [adapter(path, base) for path, base in itertools.pairwise(paths)]
    write_safetensors(paths[-1], {'x': np.ones(1, np.float32)})
    with pytest.raises(AssertionError if fits else UserError):
        on_base(first, needed, '', never)


def test_the_base_is_asked_for_as_the_file_needs_it_and_a_failure_names_both(tmp_path):
    stored, needed = adapter(tmp_path / 'a.safetensors', tmp_path / 'base')
    asked = []

    def load(name, **settings):
        asked.append((name, settings['architecture'], settings['num_classes'], settings['preprocessing'].shape))
        raise UserError('no such file')

    with pytest.raises(UserError, match=r"was trained on .*base' .*abab.*'elsewhere' cannot be its base: no such"):
        on_base(stored, needed, 'elsewhere', load)
    assert asked == [('elsewhere', 'resnet_tiny', 0, (16, 16))]
