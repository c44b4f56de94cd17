"""Paths and links that lead out of a folder are found, whatever they are written like."""

import pytest

from jtransfer.data.sources.confinement import check_inside, is_plain_name, outside
from jtransfer.errors import UserError


def test_paths_and_links_out_of_a_folder(tmp_path):
    root, other = tmp_path / 'root', tmp_path / 'root-other'
    for folder in (root / 'sub', other):
        folder.mkdir(parents=True)
        (folder / 'a.png').touch()
    (root / 'out').symlink_to(other)
    (root / 'in').symlink_to(root / 'sub')
    inside = ['sub/a.png', 'in/a.png', 'sub/../sub/a.png', 'absent.png', str(root / 'sub' / 'a.png')]
    away = ['../root-other/a.png', 'out/a.png', str(other / 'a.png'), '../absent.png', '/dev/zero', '..', 'a\0b']
    assert outside(inside, root) == []
    check_inside(inside, root)
    assert outside([*inside, *away], root) == list(range(len(inside), len(inside) + len(away)))
    with pytest.raises(UserError, match=r'root-other/a\.png \(and 6 more\) leads out of .*root, which'):
        check_inside([*inside, *away], root)
    (tmp_path / 'link').symlink_to(root)
    assert outside(inside, tmp_path / 'link') == []


def test_plain_names():
    assert is_plain_name('data-00000-of-00001.arrow')
    assert not any(is_plain_name(name) for name in ('', '.', '..', 'a/b', '/a', 'a\\b', 'a\0', None, 1, ['a']))
