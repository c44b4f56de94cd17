"""jtransfer: transfer learning for JAX research.

    import jtransfer as jt

    result = jt.fine_tune('jtransfer/resnet_glyphs', 'digits', examples_per_class=10, epochs=30)
    print(result.metrics.top1, result.directory.path)

Names are imported when they are first used, so that `import jtransfer` is quick and starts nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jtransfer.api import (
        adapt_model,
        configure,
        cross_validate,
        evaluate_model,
        fine_tune,
        fit,
        load_data,
        make_plan,
        predict,
    )
    from jtransfer.config import Config
    from jtransfer.data.derive.combine import concatenate, filter_classes, filter_examples, subset
    from jtransfer.data.sources.arrays import ArraySource
    from jtransfer.errors import TrainingDivergedError, UserError
    from jtransfer.experiments.inspect.lr_find import range_test
    from jtransfer.experiments.soup.soup import make_soup
    from jtransfer.inputs.base import Preprocessor
    from jtransfer.inputs.image import ImagePreprocessor, Preprocessing
    from jtransfer.pretrained.adapter_file import load_adapter, save_adapter
    from jtransfer.pretrained.checkpoint import save_model
    from jtransfer.pretrained.export import export_model
    from jtransfer.pretrained.features import enter_at, extract_features
    from jtransfer.pretrained.model import Model, load_model, merge_model
    from jtransfer.tasks.base import Task, single_label

__version__ = '0.1.0'

_HOMES = {
    'ArraySource': 'jtransfer.data.sources.arrays',
    'Config': 'jtransfer.config',
    'Model': 'jtransfer.pretrained.model',
    'ImagePreprocessor': 'jtransfer.inputs.image',
    'Preprocessing': 'jtransfer.inputs.image',
    'Preprocessor': 'jtransfer.inputs.base',
    'Task': 'jtransfer.tasks',
    'TrainingDivergedError': 'jtransfer.errors',
    'UserError': 'jtransfer.errors',
    'adapt_model': 'jtransfer.api',
    'concatenate': 'jtransfer.data.derive.combine',
    'configure': 'jtransfer.api',
    'cross_validate': 'jtransfer.api',
    'enter_at': 'jtransfer.pretrained.features',
    'evaluate_model': 'jtransfer.api',
    'export_model': 'jtransfer.pretrained.export',
    'extract_features': 'jtransfer.pretrained.features',
    'filter_classes': 'jtransfer.data.derive.combine',
    'filter_examples': 'jtransfer.data.derive.combine',
    'fine_tune': 'jtransfer.api',
    'fit': 'jtransfer.api',
    'load_adapter': 'jtransfer.pretrained.adapter_file',
    'load_data': 'jtransfer.api',
    'load_model': 'jtransfer.pretrained.model',
    'make_plan': 'jtransfer.api',
    'make_soup': 'jtransfer.experiments.soup.soup',
    'merge_model': 'jtransfer.pretrained.model',
    'predict': 'jtransfer.api',
    'range_test': 'jtransfer.experiments.inspect.lr_find',
    'save_adapter': 'jtransfer.pretrained.adapter_file',
    'save_model': 'jtransfer.pretrained.checkpoint',
    'single_label': 'jtransfer.tasks',
    'subset': 'jtransfer.data.derive.combine',
}

__all__ = [
    'ArraySource',
    'Config',
    'ImagePreprocessor',
    'Model',
    'Preprocessing',
    'Preprocessor',
    'Task',
    'TrainingDivergedError',
    'UserError',
    'adapt_model',
    'concatenate',
    'configure',
    'cross_validate',
    'enter_at',
    'evaluate_model',
    'export_model',
    'extract_features',
    'filter_classes',
    'filter_examples',
    'fine_tune',
    'fit',
    'load_adapter',
    'load_data',
    'load_model',
    'make_plan',
    'make_soup',
    'merge_model',
    'predict',
    'range_test',
    'save_adapter',
    'save_model',
    'single_label',
    'subset',
]


def __getattr__(name: str) -> Any:
    """Imports a public name on its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'jtransfer' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, '__version__'])
