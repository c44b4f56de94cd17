"""What lies beside the weights of an export in a folder, and what its readers have to be told."""

from __future__ import annotations

import json
from typing import Any

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor, as_image
from jtransfer.pretrained.catalogue.locate import CONFIG_FILE, PROCESSOR_FILE
from jtransfer.pretrained.load.namemap import NameMap
from jtransfer.pretrained.model import Model
from jtransfer.pretrained.names.huggingface_files import network_config, processor_config
from jtransfer.pretrained.timm.config import timm_config
from jtransfer.pretrained.timm.names import named_by_timm


def published_files(model: Model, naming: NameMap) -> tuple[dict[str, str], tuple[str, ...]]:
    """The texts of the files that readers of a naming look for, by name, and why there are not more.

    What a file could not say truly is not written: a reader who trusts it would compute something else.

    Args:
        model: the network, without adapters.
        naming: of the export.
    """
    files: dict[str, dict[str, Any]] = {}
    reasons = []
    backbone = model.network.backbone
    preprocessing = as_image(model.preprocessing, 'an export')
    try:
        if naming.name == 'timm':
            files[CONFIG_FILE] = timm_config(model.architecture, backbone, preprocessing, model.class_names, naming)
        elif _is_huggingface(naming):
            files[CONFIG_FILE] = network_config(naming.name, backbone, preprocessing, model.tasks)
        else:
            reasons.append(f"there is no {CONFIG_FILE}: readers of '{naming.name}' files look for none")
    except UserError as error:
        reasons.append(f'there is no {CONFIG_FILE}: {error}')
    if CONFIG_FILE in files and _is_huggingface(naming):
        try:
            files[PROCESSOR_FILE] = processor_config(preprocessing)
        except UserError as error:
            reasons.append(f'there is no {PROCESSOR_FILE}: {error}')
    texts = {name: json.dumps(values, indent=2, ensure_ascii=False) + '\n' for name, values in files.items()}
    return texts, tuple(reasons)


def reader_notes(model: Model, naming: NameMap, folder: bool) -> tuple[str, ...]:
    """What readers have to be told, since neither names nor files say it.

    Args:
        model: the network, without adapters.
        naming: of the export.
        folder: whether files lie beside the weights.
    """
    backbone = model.network.backbone
    files, reasons = published_files(model, naming) if folder else ({}, ())
    notes = list(reasons)
    if CONFIG_FILE not in files:
        notes += [
            f"readers of '{naming.name}' files take {option}={value}; this network has {getattr(backbone, option)}"
            for option, value in naming.options.items()
            if getattr(backbone, option) != value
        ]
    if naming.name == 'timm' and not folder:
        notes += _about_timm(model)
    notes += _about_positions(model, CONFIG_FILE in files)
    notes += _about_numbers(model)
    if PROCESSOR_FILE in files or (files and naming.name == 'timm'):
        rounding = 'floor' if _is_huggingface(naming) else 'round'
        notes += _about_crop(as_image(model.preprocessing, 'an export'), rounding)
    return tuple(notes)


def _is_huggingface(naming: NameMap) -> bool:
    return naming.name.startswith('huggingface') and 'flax' not in naming.name


def _about_timm(model: Model) -> list[str]:
    """How timm makes the network of a file that has no config.json, where a name alone does not."""
    try:
        name, arguments = named_by_timm(model.architecture, model.network.backbone)
    except UserError as error:
        return [str(error)]
    told = ', '.join(f'{argument}={value!r}' for argument, value in arguments.items())
    return [f"timm makes this network by create_model('{name}', {told})"] if arguments else []


def _about_positions(model: Model, stated: bool) -> list[str]:
    """Position embeddings for other pictures than those that a reader makes the network for."""
    usual = models.describe(model.architecture).images.shape
    shape = as_image(model.preprocessing, 'an export').shape
    if model.network.backbone.grid(*shape) is None or shape == usual:
        return []
    height, width = shape
    told = (
        f'{CONFIG_FILE} says so'
        if stated
        else 'readers have to make the network for that size (img_size in timm, image_size in transformers)'
    )
    return [
        f'the position embeddings are for pictures of {height}×{width} pixels, and not for the usual '
        f'{usual[0]}×{usual[1]}: {told}'
    ]


def _about_numbers(model: Model) -> list[str]:
    """Outputs that are not the numbers themselves."""
    return [
        f'the outputs times the scale {list(task.scale or (1.0,))}, plus {list(task.offset or (0.0,))}, are '
        f'{", ".join(task.class_names)}: readers elsewhere have to compute that'
        for task in model.tasks
        if task.scale or task.offset
    ]


def _about_crop(preprocessing: ImagePreprocessor, rounding: str) -> list[str]:
    cropped = not preprocessing.squash or preprocessing.crop_fraction < 1
    if not cropped or getattr(preprocessing, 'crop_rounding', 'round') == rounding:
        return []
    return ["where an odd number of pixels is cut off, its readers' crop may begin one pixel beside the one here"]
