"""Every kind of panel has a layout and a macro."""

import pathlib
import typing

from jtransfer.report import drawn
from jtransfer.tasks.metrics.panels import Column, Listing, Panel


def test_every_kind_of_panel_is_drawn():
    template = pathlib.Path(drawn.__file__).with_name('charts.html.jinja').read_text()
    for kind in typing.get_args(Panel):
        assert f'{{% macro {kind.kind}(panel' in template
        assert kind.kind in drawn._LAYOUTS
    panel = Listing('title', [Column('a')], [(1.0,)])
    got = drawn.drawn(panel)
    assert (got.macro, got.panel, got.layout[0][0].text) == ('listing', panel, '1')
