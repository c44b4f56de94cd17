"""How many planted copies of photographs the leak guard finds, and what they do to cross-validation without it.

    python -m benchmarks.duplicates
    python -m benchmarks.duplicates --embeddings
    python -m benchmarks.duplicates --leak

The first plants copies of photographs, each made in one way (`WAYS`), among all the photographs, looks for duplicates,
and counts the copies that are paired with their original, the pairs of different photographs, and the pairs among the
photographs themselves, which are named, to be looked at. Two thresholds of
`jtransfer.data.duplicates.perceptual_hash` were chosen
on `insects`, not on `clothing`. The second does the same by the features of a network, at several similarities.

The third takes 60 photographs of each class of clothing, plants copies of a share of them under the same labels, and
cross-validates two classifiers on the features of a frozen network: with folds that know nothing of copies, and with
folds that keep what `find_duplicates` found on one side. Beside both stands the accuracy of the same classifiers,
trained on everything, on the untouched test part. All are means over the classes, whose shares in the parts differ.

Each writes its section of `benchmarks/results/duplicates.json` and prints it.
"""

import io
import json
import pathlib
import time
from importlib import metadata

import numpy as np
from absl import app, flags
from PIL import Image

from benchmarks.machine import circumstances
from jtransfer.data.decode.images import decode_image
from jtransfer.data.duplicates.find import find_duplicates, merge_groups
from jtransfer.data.sources.folder import FolderSource, load_folder
from jtransfer.experiments.inspect.duplicates import write_duplicates
from jtransfer.experiments.inspect.embedding_duplicates import embedding_pairs
from jtransfer.pretrained.features import extract_features
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.labels import take

_LEAK = flags.DEFINE_bool('leak', False, 'Measure what copies do to cross-validation.')
_EMBEDDINGS = flags.DEFINE_bool('embeddings', False, 'Look for copies by the features of a network.')
_COPIES = flags.DEFINE_integer('copies', 300, 'Copies of each kind, at most as many as there are photographs.')
_WORKERS = flags.DEFINE_integer('workers', 2, 'Threads.')
_PAGE = flags.DEFINE_string('page', '', 'Also write a page of the pairs among the photographs here. Empty: do not.')

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT.parent / 'shared' / 'data'
CHECKPOINT = DATA / 'weights' / 'mobilenet_v2_035_224'
FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def resized(image, random):
    """Both sides by a half to two, by any of the usual filters."""
    factor = 2.0 ** random.uniform(-1, 1)
    size = [max(1, round(side * factor)) for side in image.size]
    return image.resize(size, FILTERS[random.integers(len(FILTERS))])


def encoded(image, random, kind='JPEG', worst=50):
    """Through a file of a quality of `worst` to 95."""
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=int(random.integers(worst, 96)))
    return Image.open(io.BytesIO(buffer.getvalue())).convert('RGB')


def turned(*ways):
    """One of some reflections and turns, through a JPEG file of 75 to 95."""
    return lambda image, random: encoded(image.transpose(ways[random.integers(len(ways))]), random, worst=75)


def toned(image, random):
    """Brightness by up to 15 grey levels, contrast by up to 15 %."""
    pixels = (np.asarray(image, float) - 128) * random.uniform(0.85, 1.15) + 128 + random.uniform(-15, 15)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def cropped(kept):
    """A window of a share of both sides, anywhere."""

    def crop(image, random):
        width, height = (round(side * kept) for side in image.size)
        left, top = random.integers(image.width - width + 1), random.integers(image.height - height + 1)
        return image.crop((left, top, left + width, top + height))

    return crop


def mixed(image, random):
    """Resized, perhaps mirrored, and encoded again."""
    image = resized(image, random)
    if random.integers(2):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return encoded(image, random)


def halved(image, random):
    """Every other pixel of every other row."""
    return image.resize([side // 2 for side in image.size], Image.Resampling.NEAREST)


T = Image.Transpose
WAYS = {
    'exact': lambda image, random: image,
    'resized': resized,
    'halved, nearest pixels': halved,
    'JPEG 50 to 95': encoded,
    'WebP 50 to 95': lambda image, random: encoded(image, random, 'WEBP'),
    'mirrored': turned(T.FLIP_LEFT_RIGHT),
    'upside down or turned': turned(T.FLIP_TOP_BOTTOM, T.ROTATE_90, T.ROTATE_180, T.ROTATE_270),
    'toned': toned,
    'resized, mirrored, encoded': mixed,
    'cropped to 98 %': cropped(0.98),
    'cropped to 95 %': cropped(0.95),
    'cropped to 90 %': cropped(0.9),
}
PROMISED = tuple(way for way in WAYS if not way.startswith('cropped'))


class Files:
    """Photographs as a source; their classes are the names of their folders."""

    def __init__(self, *patterns):
        self._paths = [path for pattern in patterns for path in sorted(DATA.glob(pattern))]
        self.ids = tuple(str(path.relative_to(DATA)) for path in self._paths)
        self.class_names = tuple(sorted({path.parent.name for path in self._paths}))
        self.labels = {'': np.array([self.class_names.index(path.parent.name) for path in self._paths], np.int32)}

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return {'image': decode_image(self._paths[index]), 'id': self.ids[index], 'labels': take(self.labels, index)}


class Planted:
    """A source and copies of some of its pictures after it, made whenever they are asked for.

    Attributes:
        origin: the original of every example.
        ways: how it was made; '' of the originals.
    """

    def __init__(self, source, origins, ways, seed):
        self._source, self._seed = source, seed
        self.origin = np.concatenate([np.arange(len(source)), origins])
        self.ways = [''] * len(source) + list(ways)
        self.class_names, self.labels = source.class_names, take(source.labels, self.origin)
        names = [source.ids[i] for i in self.origin]
        self.ids = tuple(f'{way}: {name}' if way else name for way, name in zip(self.ways, names, strict=True))

    def __len__(self):
        return len(self.origin)

    def __getitem__(self, index):
        example = self._source[int(self.origin[index])]
        if not self.ways[index]:
            return example
        random = np.random.default_rng((self._seed, index))
        copy = WAYS[self.ways[index]](Image.fromarray(example['image']), random)
        return {**example, 'image': np.asarray(copy), 'id': self.ids[index]}


def plant(source, copies, seed=0):
    """Copies of each kind, of pictures drawn for each."""
    random, count = np.random.default_rng(seed), min(copies, len(source))
    origins = np.concatenate([random.permutation(len(source))[:count] for _ in WAYS])
    return Planted(source, origins, [way for way in WAYS for _ in range(count)], seed)


def judged(planted, pairs):
    """Recall by way, pairs of different photographs with a copy among them, and pairs of two originals."""
    originals = len(planted) - sum(map(bool, planted.ways))
    found, between, false = set(), [], 0
    for pair in pairs:
        if planted.origin[pair.first] == planted.origin[pair.second]:
            if pair.first < originals:
                found.add(pair.second)
        elif pair.second < originals:
            between.append(f'{planted.ids[pair.first]} = {planted.ids[pair.second]} ({pair.kind}, {pair.distance:.3g})')
        else:
            false += 1
    recall = {}
    for way in WAYS:
        copies = [index for index, each in enumerate(planted.ways) if each == way]
        recall[way] = round(sum(index in found for index in copies) / len(copies), 4)
    return {'recall': recall, 'pairs_of_originals': between, 'pairs_of_a_copy_and_another_photograph': false}


def look():
    """Planted copies, found by pixels and hashes."""
    results = {}
    sets = {'insects': Files('hymenoptera/*/*/*.jpg', 'photos/*'), 'clothing': Files('clothing/*/*/*.jpg')}
    for name, source in sets.items():
        planted = plant(source, _COPIES.value)
        start = time.perf_counter()
        found = find_duplicates(planted, workers=_WORKERS.value)
        seconds = time.perf_counter() - start
        results[name] = {
            'photographs': len(source),
            'copies_of_each_kind': min(_COPIES.value, len(source)),
            **judged(planted, found.pairs),
            'seconds_with_making_the_copies': round(seconds, 1),
        }
        assert all(results[name]['recall'][way] >= 0.95 for way in PROMISED), results[name]
        if _PAGE.value and name == 'clothing':
            write_duplicates(_PAGE.value, source, find_duplicates(source, workers=_WORKERS.value), title=name)
    return results


def look_by_features():
    """Planted copies among the smaller parts of the clothing photographs, found by a network's features."""
    source, copies = Files('clothing/validation/*/*.jpg', 'clothing/test/*/*.jpg'), min(_COPIES.value, 60)
    planted = plant(source, copies)
    model = load_model(str(CHECKPOINT), architecture='mobilenetv2_035', num_classes=0)
    results = {}
    every = embedding_pairs(planted, model, similarity=0.8)
    for similarity in (0.8, 0.85, 0.9, 0.95, 0.98):
        result = judged(planted, [pair for pair in every if 1 - pair.distance >= similarity])
        result['pairs_of_originals'] = len(result['pairs_of_originals'])
        results[f'similarity {similarity}'] = result
    return {'photographs': len(source), 'copies_of_each_kind': copies, **results}


def leak(folds=5, per_class=60, draws=5):
    """Accuracies of naive and guarded cross-validation, and on the untouched test part, by the share that is copied."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler

    sources = load_folder(str(DATA / 'clothing'))
    train, test = sources['train'], sources['test']
    random = np.random.default_rng(0)
    classes = [np.flatnonzero(train.labels[''] == label) for label in range(len(train.class_names))]
    drawn = np.concatenate([random.permutation(members)[:per_class] for members in classes])
    n = len(drawn)
    ways = ('resized', 'JPEG 50 to 95', 'WebP 50 to 95', 'mirrored', 'resized, mirrored, encoded')
    pool = Planted(Chosen(train, drawn), np.arange(n), [ways[i % len(ways)] for i in range(n)], seed=1)
    found = find_duplicates(pool, workers=_WORKERS.value)
    model = load_model(str(CHECKPOINT), architecture='mobilenetv2_035', num_classes=0)
    features, unseen = (
        extract_features(model, (source[i]['image'] for i in range(len(source))))['pooled'] for source in (pool, test)
    )
    classifiers = {
        'nearest neighbour': make_pipeline(Normalizer(), KNeighborsClassifier(1)),
        'linear probe': make_pipeline(StandardScaler(), RidgeClassifier(alpha=1000.0)),
    }
    results = {}
    for share in (0.0, 0.25, 0.5, 1.0):
        row = {name: {'naive': [], 'guarded': [], 'test': []} for name in classifiers}
        for draw in range(draws):
            copied = np.random.default_rng((draw, 2)).permutation(n)[: round(share * n)]
            kept = np.concatenate([np.arange(n), n + copied])
            x, y = features[kept], pool.labels[''][kept]
            groups = merge_groups(found.groups[kept], None)
            naive = StratifiedKFold(folds, shuffle=True, random_state=draw)
            guarded = StratifiedGroupKFold(folds, shuffle=True, random_state=draw)
            for name, classifier in classifiers.items():
                for kind, splits in (('naive', naive.split(x, y)), ('guarded', guarded.split(x, y, groups))):
                    guessed = cross_val_predict(classifier, x, y, cv=list(splits))
                    row[name][kind].append(balanced_accuracy_score(y, guessed))
                row[name]['test'].append(balanced_accuracy_score(test.labels[''], classifier.fit(x, y).predict(unseen)))
        results[f'copies of {share:.0%}'] = {
            name: {kind: [round(float(np.mean(v)), 4), round(float(np.std(v)), 4)] for kind, v in kinds.items()}
            for name, kinds in row.items()
        }
    missed = sum(found.groups[i] != found.groups[n + i] for i in range(n))
    return {
        'photographs': n,
        'copies_not_found': int(missed),
        'draws': draws,
        'folds': folds,
        'test_photographs': len(test),
        'balanced_accuracy_mean_and_deviation_over_draws': results,
    }


class Chosen:
    """Some examples of a folder of images."""

    def __init__(self, source: FolderSource, indices):
        self._source, self._indices = source, indices
        self.labels, self.class_names = take(source.labels, indices), source.class_names
        self.ids = tuple(source.ids[i] for i in indices)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return self._source[int(self._indices[index])]


def main(_: list[str]) -> None:
    """Runs one of the three and writes its section."""
    name, measure = ('leak', leak) if _LEAK.value else ('embeddings', look_by_features)
    if not (_LEAK.value or _EMBEDDINGS.value):
        name, measure = 'planted', look
    flag = '' if name == 'planted' else f' --{name}'
    record = circumstances(f'python -m benchmarks.duplicates{flag}')
    for package in ('numpy', 'scipy', 'pillow', 'scikit-learn'):
        record['versions'][package] = metadata.version(package)
    record['results'] = measure()
    path = ROOT / 'benchmarks' / 'results' / 'duplicates.json'
    whole = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**whole, name: record}, indent=2, ensure_ascii=False) + '\n')
    print(json.dumps(record, indent=2, ensure_ascii=False))
    print(path)


if __name__ == '__main__':
    app.run(main)
