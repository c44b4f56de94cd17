"""One network out of several finished runs, or out of a run and its source, by averaging weights.

Choices are made on the validation part. The test part is scored once, at the end, with the network that is written.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jtransfer.checks import one_of
from jtransfer.config import Config
from jtransfer.data.source import SourceLike
from jtransfer.errors import UserError
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.data.reopen import parts_of_run
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import write_json
from jtransfer.experiments.run.records import RunRecord
from jtransfer.experiments.run.safely import noted
from jtransfer.experiments.soup.average import WeightAverager, statistics_move
from jtransfer.experiments.soup.members import open_members, start_of
from jtransfer.files.paths import output_folder
from jtransfer.files.record_types import SCHEMA
from jtransfer.files.writing import make_folder
from jtransfer.pretrained.catalogue.locate import MODEL_FILE, locate
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.model import Model, load_model
from jtransfer.tasks.better import rank
from jtransfer.transfer import averaging
from jtransfer.transfer.averaging import Variables

RECIPES = ('uniform', 'greedy', 'wise')
RECORD = 'soup.json'
# The source's head, where it has one, is for other classes; auxiliary heads may hold statistics.
_HEADS = '(params|batch_stats)/heads?/.*'
_STATISTICS = 'batch_stats'
_SOURCE = 'the source'


@dataclasses.dataclass(frozen=True)
class Soup:
    """What was made.

    Attributes:
        path: the folder it was written to.
        model: the network.
        record: what `soup.json` holds.
    """

    path: Path
    model: Model
    record: dict[str, Any]


class _Made(NamedTuple):
    """Variables, what is in them, the validation score of the runs, and what else is to be recorded."""

    variables: Variables
    used: tuple[str, ...]
    own: Mapping[str, float | None]
    record: dict[str, Any]


def make_soup(
    runs: Sequence[str | Path],
    output: str | Path,
    *,
    recipe: str = 'greedy',
    alpha: float | Sequence[float] = 0.5,
    recalibrate: bool = True,
    source: SourceLike | Mapping[str, SourceLike] | None = None,
) -> Soup:
    """Averages the networks of finished runs and writes the result, a whole model.

    Args:
        runs: run directories, of one architecture, with the same classes, preprocessing, validation and test examples.
            One of them for `wise`, two or more otherwise.
        output: folder for `model.safetensors` and `soup.json`; new or empty. It is a checkpoint for `load_model`.
        recipe: `uniform` (the mean), `greedy` (members by their validation accuracy, each kept if that of the mean does
            not get worse) or `wise` (between a run and the checkpoint that it started from).
        alpha: of `wise`: shares of the run, in [0, 1]; of several, the best on the validation part (of equal scores
            the lower loss, of equal losses the last) is taken.
        recalibrate: take the running statistics of batch normalisation anew over the training images, see
            `recalibrate_statistics`; those that never moved stay. False: they are averaged like everything else.
        source: labelled images in memory, for runs that were given theirs so.

    Raises:
        UserError: runs that do not belong together, a recipe that needs a validation part where there is none, data
            that are not those of the runs any more, or an output that exists.
    """
    one_of('recipe', recipe, RECIPES)
    alphas = tuple(float(value) for value in np.atleast_1d(alpha))
    if recipe == 'wise' and not alphas:
        raise UserError('recipe=wise needs an alpha, the share of the run, between 0 and 1')
    if outside := [value for value in alphas if not 0 <= value <= 1]:
        raise UserError(f'alpha={outside[0]} must be between 0 (the source) and 1 (the run)')
    output = output_folder(output, empty=True)
    members = open_members(runs, recipe)
    first = next(iter(members.values()))
    config, parts = first.config, parts_of_run(first.run, source)
    if 'validation' not in parts and (recipe == 'greedy' or (recipe == 'wise' and len(alphas) > 1)):
        raise UserError(
            f'{"recipe=greedy needs" if recipe == "greedy" else "several values of alpha need"} a validation part to '
            f'choose by, and {first.run} has none: make the runs with data.validation_fraction above 0'
        )
    model = load_model(first.run, dtype=config.model.dtype)
    trees: dict[str, Variables] = {
        name: heads.rescale(member.stored.variables, member.stored.tasks, model.tasks)
        for name, member in members.items()
    }
    start_record: dict[str, Any] = {}
    if recipe == 'wise':
        start = start_of(first)
        trees = {_SOURCE: start.variables, **trees}
        file = locate(config.model.checkpoint).path
        start_record = {'start': {'checkpoint': start.load_report.source, 'sha256': _sha256(file)}}

    training = parts.get('train') if recalibrate and statistics_move(trees.values()) else None
    read = [
        None if part is None else read_examples(part, model.preprocessing, config)
        for part in (parts.get('validation'), parts.get('test'), training)
    ]
    validation, test = read[:2]
    averager = WeightAverager(model, config, trees, validation, read[2])
    made = {'uniform': _uniform, 'greedy': _greedy, 'wise': _wise}[recipe](averager, alphas)
    record = {
        'schema': SCHEMA,
        'recipe': recipe,
        'score_name': first.result.score.name,
        'score_unit': first.result.score.unit,
        'members': [
            {
                'run': name,
                'used': name in made.used,
                'sha256': _sha256(member.stored.path),
                **_own(made.own[name], member.result),
            }
            for name, member in members.items()
        ],
        **start_record,
        **made.record,
        'recalibrated_on': averager.corrects(made.used),
        'validation': None,
        'test': None,
        'versions': finetune.versions(),
    }
    model = dataclasses.replace(model, variables=dict(made.variables))
    _write(output, model, config, record)
    with noted(f'the averaged network is saved in {output / MODEL_FILE}'):
        for part, examples in (('validation', validation), ('test', test)):
            if examples is not None:
                record[part] = averager.metrics(examples, made.variables).record()
        _write(output, model, config, record)
    return Soup(output, model, record)


def _uniform(averager: WeightAverager, alphas: tuple[float, ...]) -> _Made:
    del alphas
    names = tuple(averager.trees)
    own = {name: averager.score(averager.trees[name]) for name in names}
    return _Made(averager.finish(names, averaging.uniform_soup(averager.trees.values())), names, own, {})


def _greedy(averager: WeightAverager, alphas: tuple[float, ...]) -> _Made:
    del alphas
    greedy = averaging.greedy_soup(averager.trees, averager.judged, averager.finish)
    return _Made(greedy.variables, greedy.members, greedy.own, {})


def _wise(averager: WeightAverager, alphas: tuple[float, ...]) -> _Made:
    run = next(name for name in averager.trees if name != _SOURCE)
    best: tuple[tuple[float, float], float, Variables] | None = None
    tried = []
    for alpha in alphas:
        variables: Variables = averaging.interpolate(averager.trees[_SOURCE], averager.trees[run], alpha, keep=_HEADS)
        # At 1 it is the run itself, with the statistics that belong to it.
        variables = averager.finish((_SOURCE, run), variables) if alpha < 1 else variables
        score, loss = (None, None) if averager.validation is None else averager.judged(variables)
        tried.append({'alpha': alpha, 'validation_score': score, 'validation_loss': loss})
        if best is None or rank(score, loss) >= best[0]:
            best = rank(score, loss), alpha, variables
    assert best is not None
    _, alpha, variables = best
    used = (_SOURCE, run) if alpha < 1 else (run,)
    return _Made(variables, used, {run: averager.score(averager.trees[run])}, {'alphas': tried, 'alpha': alpha})


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _write(output: Path, model: Model, config: Config, record: Mapping[str, Any]) -> None:
    make_folder(output)
    used = [member for member in record['members'] if member['used']]
    training = {
        'source': config.data.source,
        'checkpoint': config.model.checkpoint,
        'recipe': record['recipe'],
        'members': [{'run': member['run'], 'sha256': member['sha256']} for member in used],
        'versions': record['versions'],
    }
    training |= {key: record[key] for key in ('start', 'alpha') if key in record}
    for part in ('validation', 'test'):
        if record[part] is not None:
            training[part] = record[part]
    save_model(
        output / MODEL_FILE,
        model.variables,
        architecture=model.architecture,
        class_names=model.class_names,
        preprocessing=model.preprocessing,
        options=model.options,
        positions=model.positions,
        tasks=model.tasks,
        training=training,
    )
    write_json(output / RECORD, record)


def _own(validated: float | None, result: RunRecord) -> dict[str, Any]:
    """The score of a member, on the parts that it has."""
    scores = {'validation': validated, 'test': result.score.value if result['part'] == 'test' else None}
    told = {f'{part}_score': value for part, value in scores.items()}
    # Before schema 2, accuracies had this name; who reads these files may know it yet.
    if result.score.name == 'accuracy':
        told |= {f'{part}_accuracy': value for part, value in scores.items()}
    return told
