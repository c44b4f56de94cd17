"""The hash of a base is of its values, whatever file they come from."""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jtransfer import rules
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.export import export_model
from jtransfer.pretrained.load.base import Base, base_hash, kept_values
from jtransfer.pretrained.model import load_model


@pytest.fixture(scope='module', params=['resnet_tiny', 'vit_tiny_test'])
def original(request):
    return load_model(architecture=request.param, num_classes=4, seed=3)


def hash_of(path, **kwargs):
    model = load_model(path, **kwargs)
    return base_hash(model.variables, model.load_report)


@pytest.fixture
def ours(original, tmp_path):
    """The weights in a file of our own."""
    save_model(
        tmp_path / 'ours.safetensors',
        original.variables,
        architecture=original.architecture,
        class_names=original.class_names,
        preprocessing=original.preprocessing,
    )
    return tmp_path / 'ours.safetensors'


def test_it_is_the_same_in_every_format(original, ours, tmp_path):
    torch = pytest.importorskip('torch')
    export_model(original, tmp_path / 'theirs.safetensors', 'timm')
    theirs = load_file(tmp_path / 'theirs.safetensors')
    torch.save({name: torch.from_numpy(value) for name, value in theirs.items()}, tmp_path / 'theirs.pth')
    named = {'architecture': original.architecture}
    hashes = {
        hash_of(ours),
        hash_of(tmp_path / 'theirs.safetensors', **named),
        hash_of(tmp_path / 'theirs.pth', **named),
    }
    assert len(hashes) == 1


def test_the_head_and_what_is_fitted_are_left_out(original, ours):
    plain = hash_of(ours)
    assert hash_of(ours, num_classes=0) == plain
    assert hash_of(ours, num_classes=7) == plain
    grey = hash_of(ours, input_channels=1)
    assert grey != plain
    assert hash_of(ours, input_channels=5) == grey


def test_every_value_path_and_shape_counts(original, ours):
    model = load_model(ours)
    plain = base_hash(model.variables, model.load_report)
    flat = rules.flatten(model.variables)
    counted = [path for path in flat if not path.startswith('params/head/')]
    for path in (*counted[:3], *counted[-3:]):
        moved = {**flat, path: flat[path].at[(0,) * flat[path].ndim].add(1e-6)}
        assert base_hash(rules.unflatten(moved), model.load_report) != plain, path
    path = next(path for path in counted if flat[path].ndim > 1)
    other = {**flat, path: flat[path].reshape(-1)}
    assert base_hash(rules.unflatten(other), model.load_report) != plain
    fewer = dataclasses.replace(model.load_report, loaded=tuple(p for p in model.load_report.loaded if p != path))
    assert base_hash(model.variables, fewer) != plain


def test_kernels_kept_in_bfloat16_are_rounded_and_nothing_else(original):
    exact, rounded = (kept_values(original.variables, dtype) for dtype in ('float32', 'bfloat16'))
    for path, leaf in rules.flatten(original.variables).items():
        expected = leaf.astype(jnp.bfloat16).astype(jnp.float32) if path.endswith('/kernel') else leaf
        np.testing.assert_array_equal(rounded[path], expected, err_msg=path)
        np.testing.assert_array_equal(exact[path], leaf, err_msg=path)
    assert {value.dtype for value in (*exact.values(), *rounded.values())} == {np.dtype(np.float32)}


def test_names_stay_names_and_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / 'a' / 'run'
    run.mkdir(parents=True)
    # A folder that happens to be called like a network of the catalogue, which goes first.
    (tmp_path / 'jtransfer' / 'resnet_glyphs').mkdir(parents=True)
    for name in ('jtransfer/resnet_glyphs', 'hf://owner/repository', 'timm/resnet50.a1_in1k@abc'):
        base = Base.named(name, tmp_path / 'b' / 'adapter.safetensors', 'f' * 64, 'float32')
        assert (base.checkpoint, base.beside) == (name, '')
        assert base.found(tmp_path / 'b' / 'adapter.safetensors') == name
    base = Base.named('a/run', 'b/adapter.safetensors', 'f' * 64, 'float32')
    assert (base.checkpoint, base.beside) == (str(run), '../a/run')
    adapter = tmp_path / 'moved' / 'b' / 'adapter.safetensors'
    assert base.found(adapter) == str(run)
    (tmp_path / 'moved' / 'b').mkdir(parents=True)
    (tmp_path / 'a').rename(tmp_path / 'moved' / 'a')
    assert pathlib.Path(base.found(adapter)).resolve() == tmp_path / 'moved' / 'a' / 'run'
    assert base.found(tmp_path / 'elsewhere' / 'b' / 'adapter.safetensors') == str(run)
