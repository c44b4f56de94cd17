"""What an export says of itself: there and back, and damaged."""

import pytest

from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.pretrained.header import Header
from jtransfer.tasks.base import Task, single_label

HEADER = Header(
    architecture='vit_b16',
    naming='timm',
    preprocessing=ImagePreprocessor(96, (0.1,), (0.2,), 'bilinear', 0.9, image_width=128),
    tasks=(single_label(('10', '2', 'Käse')),),
    options={'gelu': 'quick', 'eps': 1e-12},
)


@pytest.mark.parametrize(
    'tasks', [HEADER.tasks, (), (Task('', 'regression', ('years',), offset=(30.1,), scale=(1e-3,)),)]
)
def test_all_of_it_comes_back(tasks):
    header = Header('vit_b16', 'dinov2', HEADER.preprocessing, tasks, HEADER.options, 'bicubic_offset')
    metadata = header.to_metadata()
    assert all(isinstance(text, str) for text in metadata.values())
    assert Header.from_metadata({'format': 'pt', **metadata}, 'w') == header


def test_people_and_files_of_others():
    assert HEADER.to_metadata()['jtransfer.class_names'] == '["10", "2", "Käse"]'
    assert Header.from_metadata({'format': 'pt', 'jtransfer.image_shape': '16x16'}, 'w') is None


@pytest.mark.parametrize(
    'change', [{'tasks': '{'}, {'tasks': '[1]'}, {'preprocessing': '{"image_size": 0}'}, {'positions': 'foo'}]
)
def test_a_damaged_header_is_one_line(change):
    metadata = HEADER.to_metadata() | {f'jtransfer.{name}': text for name, text in change.items()}
    with pytest.raises(UserError, match=r'^w: its header has jtransfer\.… entries that cannot be read') as told:
        Header.from_metadata(metadata, 'w')
    assert '\n' not in str(told.value)
