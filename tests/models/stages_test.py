"""Which stages a call runs."""

import pytest

from jtransfer.errors import UserError
from jtransfer.models.stages import selected

STAGES = ('stem', 'stage1', 'stage2')


def test_selected_includes_both_ends():
    assert selected(STAGES, None, None) == STAGES
    assert selected(STAGES, 'stage1', None) == ('stage1', 'stage2')
    assert selected(STAGES, None, 'stage1') == ('stem', 'stage1')
    assert selected(STAGES, 'stage1', 'stage1') == ('stage1',)


@pytest.mark.parametrize(('start', 'stop'), [('stage9', None), (None, 'stage9')])
def test_an_unknown_stage_lists_the_stages(start, stop):
    with pytest.raises(UserError, match=r"no stage 'stage9'; its stages are stem, stage1, stage2\."):
        selected(STAGES, start, stop)


def test_stop_before_start_is_refused():
    with pytest.raises(UserError, match="'stem' comes before 'stage2'"):
        selected(STAGES, 'stage2', 'stem')
