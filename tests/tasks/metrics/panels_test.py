"""What there is to be shown is described, and drawn by kind."""

import typing

from jtransfer.tasks.metrics import panels


def test_every_kind_of_panel_has_a_name_of_its_own_a_title_and_a_caption():
    kinds = typing.get_args(panels.Panel)
    assert len({kind.kind for kind in kinds}) == len(kinds)
    assert panels.Listing('title', [], []).caption == ''
