"""What a run was given: what has to be equal, or chosen for each side, where two are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jtransfer.config import Config
from jtransfer.config.fields import get_field
from jtransfer.train.loop import total_steps
from jtransfer.transfer.plan import Plan

ASIDE = 'set aside'
# In result.json.
KEYS = ('steps', 'backbone_learning_rate_scales', 'trainable_parameters', 'parameters', 'train_examples', 'set_aside')


def given_record(plan: Plan, config: Config, examples: int) -> dict[str, Any]:
    """The part of `result.json` that says what a run was given.

    Args:
        plan: which parameters moved.
        config: of the run.
        examples: how many images it trained on.

    Returns:
        `steps`: optimiser updates; `backbone_learning_rate_scales`: the smallest and the largest factor on the learning
        rate of what moves of the backbone, null where nothing does; `trainable_parameters` of `parameters`;
        `train_examples`; `set_aside`: lines about settings without effect.
    """
    scales = [
        group.learning_rate_scale
        for group in plan.trainable_groups
        if any(path.startswith('backbone/') for path in group.paths)
    ]
    return {
        'steps': config.train.stop_step or total_steps(config, examples),
        'backbone_learning_rate_scales': [min(scales), max(scales)] if scales else None,
        'trainable_parameters': plan.trainable_elements,
        'parameters': plan.elements,
        'train_examples': examples,
        'set_aside': list(plan.notes),
    }


def in_words(config: Config, result: Mapping[str, Any]) -> dict[str, str]:
    """What a run was given, by what it is, as far as its result says it.

    Args:
        config: of the run.
        result: its `result.json`; of earlier versions without all of this.
    """
    model = config.model
    words = {'network': model.checkpoint or model.name} if model.checkpoint or model.name else {}
    if model.image_size or model.image_width:
        words['image size'] = f'{model.image_size}' + (f' × {model.image_width}' if model.image_width else '')
    words['learning rate'] = f'{config.optim.learning_rate:g}'
    if 'backbone_learning_rate_scales' in result:
        scales = result['backbone_learning_rate_scales']
        words['backbone ×'] = '–'.join(dict.fromkeys(f'{scale:.3g}' for scale in scales)) if scales else 'frozen'
    if 'trainable_parameters' in result and result.get('parameters'):
        words['trains'] = f'{result["trainable_parameters"] / result["parameters"]:.1%}'
    for key, name in (('steps', 'steps'), ('train_examples', 'train images')):
        if key in result:
            words[name] = f'{result[key]:,}'
    if result.get('set_aside'):
        words[ASIDE] = '; '.join(result['set_aside'])
    return words


def found_in_words(fields: Iterable[str], configs: Sequence[Config]) -> dict[str, str]:
    """The values that several runs have of some fields, each with how many have it, where they are not all the same.

    Args:
        fields: dotted names, such as those of a search in every fold.
        configs: of the runs.
    """
    words = {}
    for field in fields:
        counts = Counter(get_field(config, field) for config in configs)
        shown = [f'{value:g}' if isinstance(value, float) else str(value) for value in counts]
        name = field.rpartition('.')[2].replace('_', ' ')
        words[name] = ' | '.join(
            text if len(counts) == 1 else f'{text} ({number})'
            for text, number in zip(shown, counts.values(), strict=True)
        )
    return words


def shared(each: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Of several runs together: a value, or where they differ all of them."""
    together: dict[str, dict[str, None]] = {}
    for words in each:
        for name, text in words.items():
            together.setdefault(name, {})[text] = None
    return {name: ' | '.join(texts) for name, texts in together.items()}


def differing(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of what is not the same in all rows, in the order in which they come up."""
    names = dict.fromkeys(name for words in rows for name in words)
    return [name for name in names if len({words.get(name) for words in rows}) > 1]
