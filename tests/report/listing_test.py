"""Cells of a table on a page."""

from jtransfer.report.listing import Cell, cells
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.tasks.metrics.panels import METER, NAME, Column, Listing


def test_cells_are_told_as_their_columns_say():
    columns = [Column('name', NAME), Column('times', 'count'), Column('', METER), Column('share', 'share')]
    rows = [('a', 1234, 0.456, 0.456), ('b', 0, None, None)]
    assert cells(Listing('', columns, rows)) == [
        [Cell('name', 'a'), Cell('n', '1,234'), Cell('meter', share=45.6), Cell('n', '45.6%')],
        [Cell('name', 'b'), Cell('n', '0'), Cell('meter'), Cell('n', '–')],
    ]


def test_a_figure_brings_its_unit_and_interval():
    row = (Figure('x', 0.5, 'share', (0.25, 0.75)), '1 to 2')
    assert cells(Listing('', [Column('a'), Column('b')], [row])) == [
        [Cell('n', '50.0%', '25.0% to 75.0%'), Cell('n', '1 to 2')]
    ]
