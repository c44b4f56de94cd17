"""Settings of the data: where the images are, what is to be learnt about them, their parts, how they are fed."""

import dataclasses
import math

from jtransfer import checks
from jtransfer.config.part import Part
from jtransfer.errors import UserError

TASKS = ('', 'single_label', 'multi_label', 'regression', 'heads')
DUPLICATES = ('auto', 'group', 'report', 'ignore')


@dataclasses.dataclass
class Data(Part):
    """The images, their parts, and how they reach the device.

    Attributes:
        source: `digits` (scikit-learn's handwritten digits), `glyphs` (rendered letters and digits), `folder:PATH`
            (class sub-folders, with or without train/val/test above them), `csv:FILE` or `parquet:FILE` (a table of
            image paths and labels), `hf:PATH` (a Hugging Face data set on disk: parquet with the images in it),
            `npz:FILE` (arrays), `tfds:NAME` (a prepared TFDS data set) or what `add_source` has made known.
        data_dir: where prepared TFDS data sets live (empty: TFDS's own default), or what the image paths of a table are
            relative to (empty: the table's folder).
        task: of tables: `single_label`, `multi_label` (columns of 0 and 1, or one column of several labels),
            `regression` (columns of numbers) or `heads` (a head a column). Empty: by what the label column holds.
        image_column: of tables and data sets on disk. Empty: by convention.
        label_columns: the same. Empty: by convention.
        label_separator: what stands between several labels in one column.
        group_column: of tables: names of groups that no split divides (patients, scenes). Empty: by convention; `none`:
            there are none.
        split_column: of tables: `train`, `validation` or `test` (or names given below). Empty: by convention; `none`:
            the table is undivided.
        weight_column: of tables: how much an example counts in the loss. Empty: `sample_weight` where there is such a
            column (`weight` may be in grams, and is not taken unless it is named); `none`: all count alike.
        classes: only the examples of these classes; their order becomes the order of the classes. Empty: all.
        train_split: name (folder, table) or expression (TFDS, `train[:80%]`) of the training part. Empty: by
            convention.
        validation_split: the same for the part that chooses the best checkpoint.
        test_split: the same for the part that is reported once, at the end.
        validation_fraction: share of the examples held out for validation when the source has no such part, [0, 1).
        test_fraction: share held out for testing when the source has no such part, in [0, 1).
        examples_per_class: few-shot: this many training images a class, drawn at random; of a source without a test
            part all that is left over becomes the test part. 0: all of them.
        split_seed: seed of the hold-out and few-shot draws. None: the configuration's `seed`.
        duplicates: what becomes of exact and near duplicates: `group` keeps them on one side of every split, `report`
            lists them, `ignore` does not look. `auto`: `group` in cross-validation; a hold-out is made without
            looking, and the run says how many held-out images have copies in the training part.
        duplicate_distance: largest Hamming distance of two perceptual hashes, of 64 bits, that may make a duplicate,
            in [0, 32].
        imbalance: for studies: training images of the largest class for each one of the smallest, thinned out
            exponentially in between (Cui et al., 2019), ≥ 1. 1: as they are.
        label_noise: for studies: share of the training labels that are made wrong, in [0, 1).
        label_noise_kind: `symmetric` (any other class) or `asymmetric` (the next class).
        unlabelled_fraction: for studies: share of the training images set apart without their labels, in [0, 1).
        sampling: `uniform` (every image once an epoch) or `balanced` (the classes take turns, and the images of a class
            among themselves).
        batch_size: images an optimiser update, over all devices and accumulation steps together.
        placement: `device` keeps the decoded images in device memory, `host` in a file that is mapped into memory,
            `stream` decodes through Grain while training, `auto` takes `device` when they fit in `device_budget_mib`,
            else `host` when they fit in `cache_budget_mib`, else `stream`.
        device_budget_mib: the most device memory `auto` gives to images, MiB.
        cache: keep decoded images in a file, by their content and the preprocessing, for the next run.
        cache_dir: where. Empty: `$XDG_CACHE_HOME/jtransfer/decoded`, or `~/.cache/…`.
        cache_budget_mib: the largest such file that `auto` makes, MiB.
        workers: decoding processes (`stream`) or threads (otherwise). 0: decode in the main process.
        skip_unreadable: leave unreadable images out, counted and listed, instead of stopping at the first.
        skip_unlabelled: leave examples without a label (class -1, an empty cell) out, counted, instead of stopping; a
            part without any is then none.
        max_pixels: an image of more pixels is refused (decompression bomb), and a file of more than 8 bytes for each
            of so many and 64 MiB.
        confine_paths: refuse images of a folder or a table whose path or link leads out of it (of `data_dir`, where a
            table has one). Off, tables may name any file, as absolute paths do.
        pixel_range: least and largest value of grey images of more than 8 bits, which become 0 and 255; what is beyond
            is clipped. Needed for floats and signed numbers whose file does not state it, and where 16 bits hold fewer
            (`0,4095`). Empty: what the file states, or 0 and 65,535.
    """

    source: str = 'digits'
    data_dir: str = ''
    task: str = ''
    image_column: str = ''
    label_columns: tuple[str, ...] = ()
    label_separator: str = '|'
    group_column: str = ''
    split_column: str = ''
    weight_column: str = ''
    classes: tuple[str, ...] = ()
    train_split: str = ''
    validation_split: str = ''
    test_split: str = ''
    validation_fraction: float = 0.0
    test_fraction: float = 0.2
    examples_per_class: int = 0
    split_seed: int | None = None
    duplicates: str = 'auto'
    duplicate_distance: int = 8
    imbalance: float = 1.0
    label_noise: float = 0.0
    label_noise_kind: str = 'symmetric'
    unlabelled_fraction: float = 0.0
    sampling: str = 'uniform'
    batch_size: int = 32
    placement: str = 'auto'
    device_budget_mib: int = 1024
    cache: bool = True
    cache_dir: str = ''
    cache_budget_mib: int = 16384
    workers: int = 0
    skip_unreadable: bool = False
    skip_unlabelled: bool = False
    max_pixels: int = 100_000_000
    confine_paths: bool = False
    pixel_range: tuple[float, ...] = ()

    def check(self, where: str) -> None:
        """As `Part.check`."""
        checks.one_of(f'{where}task', self.task, TASKS)
        checks.one_of(f'{where}duplicates', self.duplicates, DUPLICATES)
        checks.one_of(f'{where}label_noise_kind', self.label_noise_kind, ('symmetric', 'asymmetric'))
        checks.one_of(f'{where}sampling', self.sampling, ('uniform', 'balanced'))
        checks.one_of(f'{where}placement', self.placement, ('auto', 'device', 'host', 'stream'))
        for name in ('validation_fraction', 'test_fraction', 'label_noise', 'unlabelled_fraction'):
            checks.fraction(f'{where}{name}', getattr(self, name))
        if self.validation_fraction + self.test_fraction >= 1:
            both = f'{where}validation_fraction + {where}test_fraction'
            raise UserError(f'{both} must leave examples to train on (be below 1)')
        for name in ('examples_per_class', 'workers'):
            checks.at_least(f'{where}{name}', getattr(self, name), 0)
        for name in ('batch_size', 'device_budget_mib', 'cache_budget_mib', 'max_pixels', 'imbalance'):
            checks.at_least(f'{where}{name}', getattr(self, name), 1)
        check_pixel_range(f'{where}pixel_range', self.pixel_range)
        if self.split_seed is not None:
            checks.seed(f'{where}split_seed', self.split_seed)
        if not 0 <= self.duplicate_distance <= 32:
            raise UserError(f'{where}duplicate_distance={self.duplicate_distance} must be between 0 and 32 bits')
        if not self.label_separator:
            raise UserError(f"{where}label_separator is empty; '|' separates cat|dog")
        for name in ('classes', 'label_columns'):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise UserError(f'{where}{name}={values} has one name twice')
        if len(self.classes) == 1:
            raise UserError(f'{where}classes={self.classes} must be two classes or more')
        if self.placement == 'host' and not self.cache:
            said = f'{where}placement=host keeps the images in the cache file'
            raise UserError(f'{said}, which {where}cache=False forbids')


def check_pixel_range(name: str, ends: tuple[float, ...]) -> None:
    """Raises `UserError` unless these are no numbers, or two finite ones in order."""
    if ends and not (len(ends) == 2 and -math.inf < ends[0] < ends[1] < math.inf):
        shown = ','.join(f'{end:g}' for end in ends)
        raise UserError(f'{name}={shown} must be two numbers, the least value and the largest: 0,4095')
