"""Opens weights that others published: which network, which names, which preprocessing."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.shapes import variable_shapes
from jtransfer.pretrained.catalogue.locate import Located
from jtransfer.pretrained.class_names import REMEDY, stated_by_huggingface, stated_by_timm
from jtransfer.pretrained.fields import OBJECT, TEXT, check_fields
from jtransfer.pretrained.files.safetensors import check_finite
from jtransfer.pretrained.files.weight_file import read_weights
from jtransfer.pretrained.header import Header
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.load.audit import BACKBONE, HEAD, check_blocks
from jtransfer.pretrained.load.namemap import NameMap, Shape, choose
from jtransfer.pretrained.load.stored import SHAPE, Stored, head_outputs, shapes_of
from jtransfer.pretrained.names import namings
from jtransfer.pretrained.names.huggingface import described as described_by_huggingface
from jtransfer.pretrained.names.huggingface_files import KINDS, processor_config
from jtransfer.pretrained.names.huggingface_processor import framing
from jtransfer.pretrained.timm.names import configuration_of, preprocessing_of
from jtransfer.pretrained.timm.names import described as described_by_timm
from jtransfer.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a file of weights is of.

    Attributes:
        architecture: the variant's name.
        options: fields of the backbone that these weights need otherwise.
        preprocessing: how images must look to them.
        naming: of the name map; '' where the file's names decide.
        guessed: nothing but the architecture is known, so that the naming says what else its files need.
        class_names: of the outputs, where they are stated.
        framed: whether somebody states how images must look, and not only what network it is.
        tasks: what the head is for, where that is stated.
    """

    architecture: str
    options: Mapping[str, Any]
    preprocessing: ImagePreprocessor
    naming: str = ''
    guessed: bool = False
    class_names: tuple[str, ...] = ()
    framed: bool = True
    tasks: tuple[Task, ...] = ()


def open_published(
    located: Located,
    metadata: Mapping[str, str],
    architecture: str = '',
    options: Mapping[str, Any] | None = None,
    *,
    restated: bool = False,
    named: bool = False,
) -> Stored:
    """Reads weights and puts them under our names and into our layouts.

    Args:
        located: the file, and what is known of it.
        metadata: what a safetensors file says of itself; nothing for any other.
        architecture: the variant's name, for a file that nothing is known of.
        options: fields of the backbone that these weights need otherwise, on top of what is known.
        restated: a person also says how images must look, so that the files need not be understood in that.
        named: a person names the classes, so that what the files say of them need not be understood.

    Raises:
        UserError: nobody says which network the file is of, it does not hold that network, or images are to be
            prepared in a way that cannot be had here.
    """
    # Of a file that the catalogue knows, it alone is asked.
    header = Header.from_metadata(metadata if located.entry is None else {}, located.source)
    if header is None:
        known = identify(located, architecture, restated=restated, named=named)
    else:
        known = _of_export(located, header, named)
        located.check_architecture(known.architecture, architecture)
    arrays, said = read_weights(located.path, finite=False)
    known = dataclasses.replace(known, options={**known.options, **(options or {})})
    naming, network = _naming(known, list(arrays), located.source)
    if known.guessed:
        # Whoever names tensors like this also trained like this.
        known = dataclasses.replace(
            known,
            options={**naming.options, **known.options},
            preprocessing=dataclasses.replace(known.preprocessing, **naming.preprocessing),
            naming=naming.name,
        )
        naming, network = _naming(known, list(arrays), located.source)
    check_blocks(located.source, network.backbone.blocks_in_all, arrays)
    shapes = tensor_shapes(network, models.describe(known.architecture).images)
    try:
        converted = naming.to_ours(arrays, shapes)
    except UserError as error:
        raise UserError(f'{located.source}: {error}') from None
    # What has no place may hold anything (a mask of minus infinity).
    check_finite(located.path, {converted.names.get(path, path): value for path, value in converted.values.items()})
    values, ignored = converted.values, set(converted.ignored)
    classes = head_outputs(shapes_of(values)) or 0
    if located.entry is not None and classes != located.entry.num_classes:
        if located.entry.num_classes:
            raise UserError(
                f'{located.source}: the file has a head of {classes} classes, the catalogue says '
                f'{located.entry.num_classes}: it is not the file that was published'
            )
        # A head that its authors do not count, such as the zeros that pretraining left behind.
        ignored |= {converted.names[path] for path in values if path.startswith(HEAD) and path in converted.names}
        values = {path: value for path, value in values.items() if not path.startswith(HEAD)}
        classes = 0
    shape = _shape(said)
    try:
        preprocessing = _of_stored_tensors(known, values, network, shape)
    except UserError as error:
        raise UserError(f'{located.source}: {error}') from None
    stated = known.class_names if len(known.class_names) == classes else ()
    notes = []
    if classes and known.class_names and not stated and 'params/head/bias' not in naming.constants:
        notes.append(
            f'config.json names {len(known.class_names)} classes and the head has {classes} outputs, which are numbered'
        )
    return Stored(
        path=located.path,
        variables=traverse_util.unflatten_dict(values, sep='/'),
        architecture=known.architecture,
        class_names=stated or tuple(str(index) for index in range(classes)),
        tasks=tuple(dataclasses.replace(task, class_names=stated) for task in known.tasks) if stated else (),
        classes_stated=bool(stated),
        preprocessing=preprocessing,
        framed=known.framed,
        shape=shape,
        training={},
        options=dict(known.options),
        source=located.source,
        naming=naming.name,
        positions=(header.positions if header is not None else '') or naming.positions,
        ignored={name: tuple(arrays[name].shape) for name in sorted(ignored)},
        name_of=lambda path: converted.names.get(path) or naming.name_of(path),
        notes=tuple(notes),
    )


def _naming(known: Identity, names: list[str], source: str) -> tuple[NameMap, models.Network]:
    """The naming that a file's tensors follow, and the network as far as it is known, with a head of one class."""
    try:
        network = models.create(known.architecture, num_classes=1, options=known.options)
    except UserError as error:
        raise UserError(f'{source}: {error}') from None
    candidates = namings(models.describe(known.architecture).family, network.backbone)
    chosen = [naming for naming in candidates if naming.name == known.naming] or candidates
    if not chosen:
        raise UserError(f'{source}: no published names are known for {known.architecture}')
    return choose(chosen, names, source), network


def identify(located: Located, architecture: str = '', *, restated: bool = False, named: bool = False) -> Identity:
    """Which network a file is of: the catalogue says so, its config.json, or the person.

    Args:
        located: the file, and what is known of it.
        architecture: the variant's name, by the person.
        restated: see `open_published`.
        named: see `open_published`.

    Raises:
        UserError: nobody does, two of them disagree, or images are to be prepared in a way that cannot be had here.
    """
    if located.entry is not None:
        entry = located.entry
        known = Identity(entry.architecture, entry.options, entry.preprocessing, entry.naming)
    elif (said := _said(located, unsure=bool(architecture), restated=restated, named=named)) is not None:
        known = said
    elif architecture:
        known = Identity(architecture, {}, models.describe(architecture).images, guessed=True, framed=False)
    else:
        raise UserError(
            f"{located.source}: the file does not say which network it is of; name it: architecture='resnet50' of "
            'load_model, --config.model.name=resnet50 of a run, --architecture=resnet50 of launch.export; '
            'python -m launch.models --architectures lists them'
        )
    located.check_architecture(known.architecture, architecture)
    return known


def _of_export(located: Located, header: Header, named: bool) -> Identity:
    """What an export of ours is of: as its header says, and as its files say where somebody has changed them since."""
    known = Identity(header.architecture, header.options, header.preprocessing, header.naming)
    known = dataclasses.replace(known, class_names=heads.class_names(header.tasks), tasks=header.tasks)
    if not located.config:
        return known
    try:
        differ = _differ(header.preprocessing, located.config, located.processor)
        stated = () if named else (stated_by_timm(located.config) or stated_by_huggingface(located.config))
    except UserError as error:
        raise UserError(f'{located.source}: {error}') from None
    if differ:
        files = _said(located, unsure=True, restated=False, named=True)
        known = known if files is None else dataclasses.replace(known, preprocessing=files.preprocessing)
    if stated and len(stated) != len(known.class_names):
        raise UserError(
            f'{located.source}: its config.json names {len(stated)} classes, and the head has {len(known.class_names)} '
            f'outputs; {REMEDY}'
        )
    return dataclasses.replace(known, class_names=stated) if stated else known


def _differ(preprocessing: ImagePreprocessor, config: Mapping[str, Any], processor: Mapping[str, Any] | None) -> bool:
    """Whether files beside an export say otherwise how pictures must look than the export had it.

    Raises:
        UserError: a `pretrained_cfg` that has no fields.
    """
    check_fields(config, {'pretrained_cfg': OBJECT}, 'config.json')
    if config.get('pretrained_cfg'):
        written, found = configuration_of(preprocessing), config['pretrained_cfg']
    elif processor is not None:
        try:
            written, found = processor_config(preprocessing), processor
        except UserError:
            return True
    else:
        return False
    return json.loads(json.dumps(written)) != {name: found.get(name) for name in written}


def _said(located: Located, unsure: bool, restated: bool, named: bool) -> Identity | None:
    """What the files beside the weights say; None where there are none, or where they cannot be read and need not be.

    Args:
        located: the file.
        unsure: a person has named the architecture, whose word will do.
        restated: a person says how images must look, whose word will do.
        named: a person names the classes, whose word will do.
    """
    config = dict(located.config or {})
    try:
        check_fields(config, {'architecture': TEXT, 'model_type': TEXT}, 'config.json')
        if config.get('architecture'):
            name, options, shape = described_by_timm(config)
            known = Identity(name, options, models.describe(name).images)
            names = () if named else stated_by_timm(config)
        elif config.get('model_type'):
            names = () if named else stated_by_huggingface(config)
            kind = KINDS.get(str(config.get('problem_type')))
            tasks = (Task('', kind, names),) if kind and names else ()
            known = Identity(*described_by_huggingface(config), framed=located.processor is not None, tasks=tasks)
        else:
            return None
    except UserError as error:
        if not unsure:
            raise UserError(f'{located.source}: {error}') from None
        return None
    known = dataclasses.replace(known, class_names=names)
    try:
        if config.get('architecture'):
            return dataclasses.replace(known, preprocessing=preprocessing_of(config, shape))
        if located.processor is not None:
            return dataclasses.replace(known, preprocessing=framing(located.processor, config['model_type']))
    except UserError as error:
        # How images are prepared is never passed over, whoever named the architecture.
        if not restated:
            raise UserError(f'{located.source}: {error}') from None
    return known


def _shape(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Height and width of the pictures, where an export of ours says so."""
    found = re.fullmatch(r'([0-9]{1,6})x([0-9]{1,6})', metadata.get(SHAPE, ''))
    return (int(found[1]), int(found[2])) if found else None


def _of_stored_tensors(
    known: Identity, values: Mapping[str, Any], network: models.Network, shape: tuple[int, int] | None
) -> ImagePreprocessor:
    """The preprocessing, for as many channels as the file has; of a file alone, at the size it is for."""
    kernel = values.get(f'{BACKBONE}{network.backbone.input_kernel}')
    if kernel is not None and kernel.ndim > 1:
        preprocessing = known.preprocessing.for_channels(kernel.shape[-2])
        known = dataclasses.replace(known, preprocessing=preprocessing)
    if known.guessed and shape is not None:
        width = 0 if shape[0] == shape[1] else shape[1]
        return dataclasses.replace(known.preprocessing, image_size=shape[0], image_width=width)
    if not known.guessed:
        return known.preprocessing
    shapes = {path.removeprefix(BACKBONE): value.shape for path, value in values.items() if path.startswith(BACKBONE)}
    size = network.backbone.side_of(shapes, known.preprocessing.image_size)
    if size == known.preprocessing.image_size:
        return known.preprocessing
    return dataclasses.replace(known.preprocessing, image_size=size, image_width=0)


def tensor_shapes(network: models.Network, preprocessing: ImagePreprocessor) -> dict[str, Shape]:
    """Shapes of a network's tensors by path, without making them."""
    variables = variable_shapes(network, preprocessing.spec())
    return {path: tuple(leaf.shape) for path, leaf in traverse_util.flatten_dict(variables, sep='/').items()}
