"""A line of the tables of published weights; the inverse of what the catalogue reads."""

import json

from jtransfer.pretrained.catalogue.entries import COLUMNS, NORMS, Entry


def table_row(entry: Entry) -> str:
    """The line of an entry, in the order of `COLUMNS`; the inverse of `entries.read_table`."""
    how = entry.preprocessing
    [norm] = [name for name, values in NORMS.items() if values == (how.mean, how.std)]
    plain = {
        'norm': norm,
        'options': json.dumps(dict(sorted(entry.options.items()))) if entry.options else '',
        'image_size': how.image_size,
        'interpolation': how.interpolation,
        'crop_fraction': how.crop_fraction,
        'squash': 'yes' if how.squash else '',
    }
    cells = [plain[column] if column in plain else getattr(entry, column) for column in COLUMNS]
    return '\t'.join('' if cell is None else str(cell) for cell in cells)
