"""The source `tfds:NAME`: a data set that TensorFlow Datasets has prepared, read without TensorFlow."""

from __future__ import annotations

import collections
import difflib
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jtransfer.config.data import Data
from jtransfer.data.decode import images
from jtransfer.data.source import Example, Source, check_source
from jtransfer.data.sources import taken
from jtransfer.data.sources.part_names import check_known, choose_splits, named_parts
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.tasks.base import Task
from jtransfer.tasks.door import by_task
from jtransfer.tasks.labels import Labels, take
from jtransfer.text.outside import count_of


class TfdsSource(Source):
    """One split of a prepared data set; see `jtransfer.data.source.Source`. Images are decoded when asked for.

    Attributes:
        class_names: of the ClassLabel feature.
        labels: class number of every example.
        ids: `SPLIT/NUMBER` of every example, whatever expression chose it.
        notes: lines about splits that were left out.
    """

    class_names: tuple[str, ...]
    labels: Labels
    ids: tuple[str, ...]
    notes: tuple[str, ...]
    pixel_range: tuple[float, ...]

    def __init__(
        self,
        directory: Path,
        expression: str,
        max_pixels: int = images.MAX_PIXELS,
        pixel_range: Sequence[float] = (),
    ) -> None:
        """Reads the labels, in one pass over the records.

        Args:
            directory: of the prepared data set: `NAME/VERSION` or `NAME/CONFIG/VERSION`.
            expression: a split or an expression of splits, such as `train[:80%]+test`.
            max_pixels: an image of more pixels is refused.
            pixel_range: as `data.pixel_range`.

        Raises:
            UserError: an unknown split, no Image or ClassLabel feature, another format than array_record.
        """
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(directory)
        name = builder.info.full_name
        if builder.info.file_format is None or builder.info.file_format.value != 'array_record':
            raise UserError(
                f'{directory} is not in the array_record format: prepare it again with '
                f'`tfds build {builder.info.name} --file_format=array_record`'
            )
        self._image_key, self._label_key = _features(builder.info, name)
        self._unread = tuple(key for key in builder.info.features if key not in (self._image_key, self._label_key))
        self._directory, self._max_pixels, self.pixel_range = directory, max_pixels, tuple(pixel_range)
        self.class_names = tuple(builder.info.features[self._label_key].names)
        self._positions = _positions(builder.info.splits, expression, name)
        self.ids = tuple(f'{split}/{number}' for split, number in self._positions)
        label_only = tfds.features.FeaturesDict({self._label_key: builder.info.features[self._label_key]})
        labels = [
            int(label_only.deserialize_example_np(self._records[split][number])[self._label_key])
            for split, number in self._positions
        ]
        self.labels = by_task(np.array(labels, np.int32))
        check_source(self, f'{name} {expression}', every_class=False)

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """Decodes the example at an index.

        Raises:
            UnreadableImageError: names the example.
        """
        name = f'{self._directory}: {self.ids[index]}'
        image, narrow = images.read_image(self.content(index), name, self._max_pixels, self.pixel_range)
        return {'image': image, 'labels': take(self.labels, index), 'id': self.ids[index], 'narrow': narrow}

    def taken(self) -> str:
        """What the features were taken for."""
        roles = [([self._image_key], taken.IMAGES), *taken.labels([self._label_key], self.tasks)]
        return taken.taken('feature', roles, self._unread)

    def content(self, index: int) -> bytes:
        """The encoded bytes of the image at an index."""
        split, number = self._positions[index]
        encoded: bytes = self._image_only.deserialize_example_np(
            self._records[split][number], decoders={self._image_key: self._skip_decoding}
        )[self._image_key]
        return encoded

    def __getstate__(self) -> dict[str, Any]:
        """Worker processes open their own files."""
        opened = ('_records', '_image_only', '_skip_decoding')
        return {name: value for name, value in self.__dict__.items() if name not in opened}

    @functools.cached_property
    def _records(self) -> dict[str, Any]:
        import tensorflow_datasets as tfds

        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        return tfds.builder_from_directory(self._directory).as_data_source(deserialize_method=raw)

    @functools.cached_property
    def _image_only(self) -> Any:
        import tensorflow_datasets as tfds

        features = tfds.builder_from_directory(self._directory).info.features
        return tfds.features.FeaturesDict({self._image_key: features[self._image_key]})

    @functools.cached_property
    def _skip_decoding(self) -> Any:
        import tensorflow_datasets as tfds

        return tfds.decode.SkipDecoding()


def load_tfds(
    name: str,
    data_dir: str = '',
    splits: Mapping[str, str] | None = None,
    max_pixels: int = images.MAX_PIXELS,
    pixel_range: Sequence[float] = (),
    training: bool = True,
) -> dict[str, TfdsSource]:
    """Opens a prepared data set.

    Args:
        name: `NAME`, `NAME/CONFIG`, either with `:VERSION`.
        data_dir: where prepared data sets live. Empty: TFDS's own default.
        splits: expressions for `train`, `validation` and `test`; missing or empty: by convention.
        max_pixels: an image of more pixels is refused when it is decoded.
        pixel_range: as `data.pixel_range`.
        training: whether it is to be trained on; without, there need be no training part, nor every class.

    Returns:
        The parts the data set has.

    Raises:
        UserError: unknown, not prepared, not in the array_record format, an unknown split, a split that is no part
            where no part is named, no image or class label.
    """
    import tensorflow_datasets as tfds

    directory = _find(name, data_dir)
    info = tfds.builder_from_directory(directory).info
    known = info.splits
    named = {part: expression for part, expression in (splits or {}).items() if expression}
    expressions = choose_splits(known, named, f'tfds:{name}')
    if 'train' not in expressions and (training or not expressions):
        raise UserError(f'tfds:{name} has no split called train, but {", ".join(known)}: choose with data.train_split')
    places = [place for spec in expressions.values() for place in _positions(known, spec, info.full_name)]
    used = collections.Counter(split for split, _ in set(places))
    left = {split: own.num_examples - used[split] for split, own in known.items()}
    unused = {split: number for split, number in left.items() if number and not used[split]}
    unknown = [f"'{split}' ({count_of(number, 'example')})" for split, number in unused.items()]
    if training:
        check_known(f'tfds:{name}', expressions, unknown, named)
    sources = {
        part: TfdsSource(directory, expression, max_pixels, pixel_range) for part, expression in expressions.items()
    }
    if training:
        check_source(sources['train'], f'tfds:{name} {expressions["train"]}')
    first = next(iter(sources.values()))
    gone = tuple(
        f"{count_of(number, 'example')} of the split '{split}' left out" for split, number in left.items() if number
    )
    first.notes = (first.taken(), *gone)
    return sources


def open_tfds(name: str, data: Data, known: Sequence[Task]) -> dict[str, TfdsSource]:
    """As `kinds.Open`."""
    return load_tfds(name, data.data_dir, named_parts(data), data.max_pixels, data.pixel_range, not known)


def _find(name: str, data_dir: str) -> Path:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=str(expanded(data_dir)) if data_dir else None)
    except tfds.core.DatasetNotFoundError:
        close = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=1)
        hint = f"; did you mean 'tfds:{close[0]}'?" if close else ''
        raise UserError(
            f'tfds:{name} is neither prepared in data.data_dir={data_dir!r} nor known to TFDS{hint}'
        ) from None
    except ImportError as error:
        raise UserError(f"tfds:{name} needs {error.name}: pip install 'jtransfer[tfds]'") from None
    except (ValueError, AssertionError) as error:
        raise UserError(f'tfds:{name}: {str(error).splitlines()[0]}') from None
    directory = Path(builder.data_dir)
    if not (directory / 'dataset_info.json').exists():
        others = sorted(path.parent.name for path in directory.parent.glob('*/dataset_info.json'))
        prepared = f' (prepared versions: {", ".join(others)}; name one as tfds:NAME:VERSION)' if others else ''
        where = f' --data_dir={data_dir}' if data_dir else ''
        raise UserError(
            f"tfds:{name} is not prepared in {directory}{prepared}: pip install 'jtransfer[tfds]' and run "
            f'`tfds build {name} --file_format=array_record{where}`'
        )
    return directory


def _features(info: Any, name: str) -> tuple[str, str]:
    """Keys of the image and of the label: the supervised ones if there are several."""
    from tensorflow_datasets import features as tfds_features

    features = dict(info.features.items()) if isinstance(info.features, tfds_features.FeaturesDict) else {}
    supervised = [key for key in (info.supervised_keys or ()) if isinstance(key, str)]
    keys = []
    for kind, usual in ((tfds_features.Image, 'image'), (tfds_features.ClassLabel, 'label')):
        found = [key for key, feature in features.items() if isinstance(feature, kind)]
        found.sort(key=lambda key: (key not in supervised, key != usual, key))
        if not found:
            raise UserError(
                f'tfds:{name} has no {kind.__name__} feature; it has {", ".join(sorted(features)) or "none"}'
            )
        keys.append(found[0])
    dtype = np.dtype(features[keys[0]].np_dtype)
    if dtype not in (np.uint8, np.uint16):
        raise UserError(f'tfds:{name}: images are {dtype}, but must be uint8 or uint16')
    return keys[0], keys[1]


def _positions(splits: Any, expression: str, name: str) -> list[tuple[str, int]]:
    """(split, number) of every example that an expression chooses."""
    import tensorflow_datasets as tfds

    try:
        instructions = tfds.core.ReadInstruction.from_spec(expression).to_absolute(splits)
    except (ValueError, KeyError, AssertionError) as error:
        raise UserError(
            f"tfds:{name} has no split '{expression}', but {', '.join(splits)} ({str(error).splitlines()[0]})"
        ) from None
    positions = []
    for part in instructions:
        numbers = range(splits[part.splitname].num_examples)[slice(part.from_, part.to)]
        positions += [(part.splitname, number) for number in numbers]
    return positions
