"""Augmentation that does not fit the input is told before anything is written, at every size it is trained at."""

import dataclasses

import pytest

from jtransfer.config import Augment
from jtransfer.errors import UserError
from jtransfer.experiments.run import finetune


def test_sizes_one_after_another_need_a_step_each(tiny_config, tmp_path):
    augment = Augment(sizes=(8, 16, 24, 32, 40), size_schedule='progressive')
    config = dataclasses.replace(tiny_config(), augment=augment, run_dir=str(tmp_path / 'run'))
    with pytest.raises(UserError, match='5 sizes one after another need as many steps, not 4'):
        finetune.run(config)


@pytest.mark.parametrize('sizes', [(), (24, 8), (8, 24)])
def test_a_padding_too_large_to_reflect_stops_the_run_before_it_is_written(tiny_config, tmp_path, sizes):
    padding = 12 if sizes else 64
    augment = Augment(operations=(f'random_crop({padding}, reflect)',), sizes=sizes)
    config = dataclasses.replace(tiny_config(), augment=augment, run_dir=str(tmp_path / 'run'))
    with pytest.raises(UserError, match=f'padding={padding} must be below'):
        finetune.run(config)
    assert not (tmp_path / 'run').exists()
