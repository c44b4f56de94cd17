"""What is to be learnt about an example: the contract of a task, of which every kind has a file of its own.

A network has a head for each of its tasks. Everything that depends on the kind of a task is asked of the task: which
labels it takes, which losses fit, what outputs mean, how they are averaged, measured and told. A kind is a class below
`Task` that names itself: `class Ordinal(Task, kind='ordinal')`. From then on `Task(name, 'ordinal', …)` makes one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from jtransfer.config.optim import add_losses
from jtransfer.errors import UserError
from jtransfer.tasks.metrics.figure import Figure

if TYPE_CHECKING:
    from jax import Array

    from jtransfer.config.optim import Loss
    from jtransfer.tasks.metrics.wrong import Wrong

# From outputs [batch, outputs] and labels to the losses [batch].
ExampleLoss: TypeAlias = 'Callable[[Array, Array], Array]'

_CLASSES: dict[str, type[Task]] = {}


@dataclasses.dataclass(frozen=True)
class Task:
    """What one head of a network is for; `Task(…)` makes an object of the class of its kind.

    Labels and outputs of n examples are arrays with n rows; `dtype` and `rows` say which. -1 or NaN: not labelled.

    Attributes:
        name: of the head, `heads/NAME`; '' for the only one, `head`.
        kind: one of `kinds()`.
        class_names: of the classes, in label order; of the numbers where it is regression.
        weight: of its loss among those of several tasks, ≥ 0.
        offset: of regression: what is added to the network's outputs, after `scale`, to give the numbers. Empty: 0.
        scale: of regression: what the outputs are multiplied by, each > 0. Empty: 1.
        words: what an output is called, one and several.
        held: what the labels of an example are called.
        losses: names of the losses that fit; the first is the usual one, `loss.name` may take any. Those of no other
            kind are the kind's own, and `loss` makes them.
        has_classes: whether outputs are classes, which examples may have or not.
        exclusive: whether an example has exactly one of these.
        has_thresholds: whether a class is predicted from a probability on that may be fitted.
        mixes: whether labels of two examples can be mixed, as shares of the outputs. Of every kind said anew.
        softmax: whether outputs are the logits of a softmax, and a label the number of one. Of every kind said anew.
        dtype: of the labels.
        output_dtype: of averages of outputs.
        score: what its metrics call their score, without a value.
    """

    name: str
    kind: str
    class_names: tuple[str, ...]
    weight: float = 1.0
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    words: ClassVar[tuple[str, str]]
    held: ClassVar[str]
    losses: ClassVar[tuple[str, ...]]
    has_classes: ClassVar[bool] = True
    exclusive: ClassVar[bool] = False
    has_thresholds: ClassVar[bool] = False
    mixes: ClassVar[bool] = False
    softmax: ClassVar[bool] = False
    dtype: ClassVar[type[np.generic]] = np.float32
    output_dtype: ClassVar[type[np.generic]] = np.float32
    score: ClassVar[Figure] = Figure('score', None)

    def __init_subclass__(cls, kind: str = '', **options: Any) -> None:
        """Makes a kind known by its name."""
        super().__init_subclass__(**options)
        if kind:
            _CLASSES[kind] = cls
            add_losses(getattr(cls, 'losses', ()))
            # What the labels and outputs of a kind are, a kind made of it may have changed.
            cls.mixes, cls.softmax = (cls.__dict__.get(name, False) for name in ('mixes', 'softmax'))

    def __new__(cls, name: str = '', kind: str = '', *fields: Any, **named: Any) -> Task:
        """An object of the class of the kind; raises `UserError` where there is no such kind."""
        del fields, named
        if cls is not Task:
            return object.__new__(cls)
        return object.__new__(task_class(kind, f"task '{name}': "))

    def __post_init__(self) -> None:
        """Raises `UserError` for no outputs, or scaling of another length or of what is not scaled."""
        if not self.class_names:
            raise UserError(f"task '{self.name}' has no outputs")
        for name in ('offset', 'scale'):
            values = getattr(self, name)
            if values and (self.has_classes or len(values) != len(self.class_names)):
                raise UserError(
                    f"task '{self.name}' ({self.kind}): {len(values)} values of {name} for {self.outputs} outputs; "
                    'only numbers are scaled, each with one value'
                )

    @property
    def outputs(self) -> int:
        """Width of the head. A kind may have more or fewer than it has names."""
        return len(self.class_names)

    @property
    def rows(self) -> tuple[int, ...]:
        """Shape of the label of one example."""
        return () if self.exclusive else (len(self.class_names),)

    @property
    def name_by_name(self) -> bool:
        """Whether every name has an output and a label of its own, so that some of them are a task, too."""
        return self.rows == (self.outputs,) == (len(self.class_names),)

    @property
    def any_number(self) -> bool:
        """Whether an example may have any number of the classes."""
        return self.has_classes and not self.exclusive

    def in_words(self) -> str:
        """How many outputs there are, and what they are: `3 classes`."""
        one, several = self.words
        return f'{self.outputs:,} {one if self.outputs == 1 else several}'

    # Labels

    def unlabelled(self, count: int) -> np.ndarray:
        """Labels of so many examples of which nothing is known."""
        raise NotImplementedError

    def blank(self, count: int) -> np.ndarray:
        """Labels of so many examples whose labels nobody looks at."""
        return np.zeros((count, *self.rows), self.dtype)

    def labelled(self, labels: np.ndarray) -> np.ndarray:
        """Which examples have a label, bool [n]: no class number -1, no NaN. In training it is so for every kind."""
        return labelled(labels)

    def read(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Labels of an array that somebody made, in the form of the task; `check` says whether they can be.

        Raises:
            UserError: they are no numbers; `where` names them.
        """
        values = labels[:, None] if labels.ndim == 1 and self.rows == (1,) else labels
        try:
            return values.astype(self.type_of(values))
        except (TypeError, ValueError) as error:
            raise UserError(f'{where}: labels are no numbers ({error})') from None

    def type_of(self, labels: np.ndarray) -> type[np.generic]:
        """The type that labels like these are kept in."""
        del labels
        return self.dtype

    def check(self, labels: np.ndarray, ids: Sequence[str], where: str) -> None:
        """Raises `UserError` for labels of another form; names the first example that is wrong.

        Args:
            labels: of every example.
            ids: names of the examples.
            where: names the labels in errors.
        """
        if len(labels) != len(ids):
            raise UserError(f'{where}: {len(labels)} labels for {len(ids)} examples')
        self.check_form(labels, where)
        right, allowed = self.allowed(labels)
        if not right.all():
            wrong = int(np.argmin(right))
            value = labels[wrong].tolist() if labels.ndim > 1 else labels[wrong]
            raise UserError(f'{where}: example {ids[wrong]} has label {value}, {allowed}')

    def check_form(self, labels: np.ndarray, where: str) -> None:
        """Raises `UserError` for labels of another shape or type."""
        if labels.shape[1:] != self.rows or not np.issubdtype(labels.dtype, np.floating):
            raise UserError(
                f'{where}: labels are {labels.dtype} {list(labels.shape)}, but must be floating numbers '
                f'{[len(labels), *self.rows]}'
            )

    def allowed(self, labels: np.ndarray) -> tuple[np.ndarray, str]:
        """Which examples have a label that can be, bool [n], and what is said of one that cannot."""
        raise NotImplementedError

    def check_measurable(self, labels: np.ndarray, where: str) -> None:
        """Raises `UserError` for labels of which nothing could be measured; `where` says which examples they are of."""
        if not self.labelled(labels).any():
            called = f' for {self.name}' if self.name else ''
            raise UserError(f'none of the {len(labels)} images of {where} has a label{called}')

    def counts(self, labels: np.ndarray) -> np.ndarray | None:
        """How many of the examples have each class, int [classes]; None where there are no classes."""
        known = labels[self.labelled(labels)]
        if not self.has_classes:
            return None
        return known.sum(axis=0) if known.ndim > 1 else np.bincount(known, minlength=len(self.class_names))

    def strata(self, labels: np.ndarray) -> np.ndarray | None:
        """What folds and hold-outs are stratified by, int32 [n] or float32 [n, classes]; None: by nothing."""
        return None

    def reordered(self, labels: np.ndarray, theirs: Task, *, complete: bool) -> np.ndarray:
        """Labels of another task of the same kind under the places that its outputs have in this one.

        Args:
            labels: of the other task; all of its names that they need are names of this one.
            theirs: the other task.
            complete: whether an example is known not to have the classes that the other task does not name.
        """
        number = {name: index for index, name in enumerate(self.class_names)}
        whole = np.full((len(labels), *self.rows), 0.0 if complete else np.nan, labels.dtype)
        whole[:, [number[name] for name in theirs.class_names]] = labels
        return whole

    def remarks(self, labels: np.ndarray, where: str) -> list[str]:
        """Lines about labels of which the metrics say less than they seem to; `where` names them."""
        return []

    def needed_names(self, labels: np.ndarray) -> Sequence[str]:
        """The names of outputs without which labels say something else."""
        del labels
        return self.class_names

    def fitted(self, labels: np.ndarray) -> Task:
        """The task as it is trained on these labels; of regression, with a scaling."""
        del labels
        return self

    def label_text(self, label: Any) -> str:
        """The label of one example in words."""
        raise NotImplementedError

    def mixed_text(self, label: np.ndarray) -> str:
        """The label of one example that may have been mixed with another's, in lines: its shares."""
        raise NotImplementedError

    def groups(self, labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """A title and the numbers of the examples of each row of a sheet that shows what the labels mean."""
        raise NotImplementedError

    # Training: JAX arrays. Labels are in the task's form, numbers scaled as the outputs are, or shares [batch, outputs]
    # where images are mixed. The task that is asked has no scaling: folds side by side, each with its own, share a step

    def loss(self, settings: Loss, smoothing: float) -> ExampleLoss:
        """The loss of every example of a batch, by one of the names in `losses`.

        Args:
            settings: the loss and its options; `auto` is none of its names any more.
            smoothing: share of a target spread evenly over all classes, in [0, 1).

        Returns:
            A function of outputs and labels, the latter with zeros where there is none, to float32 losses [batch], ≥ 0.

        Raises:
            UserError: options that do not go together.
        """
        from jtransfer.tasks.losses import make_loss

        function = make_loss(settings, smoothing, self.outputs)
        return lambda outputs, labels: function(outputs, labels)[0]

    def moved(self, labels: Array, geometry: Array, shown: Array) -> Array:
        """The labels after augmentation has moved what they are of: boxes move with the pixels, classes stay.

        Args:
            labels: of a batch, on the device.
            geometry: the map of each image, see `jtransfer.augment.pipeline.Augmented`.
            shown: what of each is to be seen, see there.
        """
        return labels

    def example_weights(self, settings: Loss, labels: Array) -> Array:
        """How much each example weighs in the mean of a batch, float32 [batch], ≥ 0; by its label alone."""
        from jtransfer.tasks.losses import example_weights

        return example_weights(settings, labels)

    def log(self, outputs: Array, labels: Array, settings: Loss) -> dict[str, Array]:
        """What is logged of a batch in training beside the loss: figures by name, float32 [batch], one an example."""
        del outputs, labels, settings
        return {}

    # Outputs: [n, outputs], logits or numbers in their own units

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """What the outputs stand for, float64 [n, outputs]: probabilities, or numbers as they are."""
        raise NotImplementedError

    def mean(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs, float64 [..., outputs], that stand for the mean of what those of several networks stand for.

        Computed from logarithms where these are probabilities, so that a class of vanishing probability stays finite.

        Args:
            outputs: of each network, float64 [networks, ..., outputs], of two networks or more.
        """
        raise NotImplementedError

    @staticmethod
    def mean_on_device(outputs: Any) -> Any:
        """The same of JAX arrays: float32 [views, batch, outputs] to [batch, outputs]."""
        raise NotImplementedError

    def measure(
        self,
        outputs: np.ndarray,
        labels: np.ndarray,
        *,
        confidence: float,
        bins: int,
        thresholds: Sequence[float] | None,
    ) -> Any:
        """The metrics of outputs of examples that all have a label; see `several.measure`, and `FigureMetrics`."""
        raise NotImplementedError

    def worst(
        self, outputs: np.ndarray, labels: np.ndarray, count: int, thresholds: Sequence[float] | None = None
    ) -> list[Wrong]:
        """The examples that a network got most wrong, the worst first; those without a label are left out."""
        raise NotImplementedError

    def columns(self, results: np.ndarray, thresholds: Sequence[float] | None) -> list[tuple[str, list[str]]]:
        """The columns of a table of predictions, of what `predict` gives: name and cells."""
        raise NotImplementedError


def labelled(labels: np.ndarray) -> np.ndarray:
    """Which examples have a label for a task of one of our kinds, bool [n]: no class number -1, no NaN."""
    return labels >= 0 if labels.ndim == 1 else ~np.isnan(labels).any(axis=tuple(range(1, labels.ndim)))


def task_class(kind: str, where: str = '') -> type[Task]:
    """The class of a kind of task.

    Raises:
        UserError: there is no such kind; `where` stands before the message.
    """
    if kind not in _CLASSES:
        raise UserError(
            f'{where}kind={kind!r} is not one of {", ".join(kinds())}; one of your own is known once the module that '
            'defines its class is imported'
        )
    return _CLASSES[kind]


def kinds() -> tuple[str, ...]:
    """The kinds of tasks that there are."""
    return tuple(_CLASSES)


def single_label(class_names: Sequence[str], name: str = '') -> Task:
    """The task of telling classes apart."""
    return Task(name, 'single_label', tuple(class_names))


def is_classifier(tasks: Sequence[Task]) -> bool:
    """Whether the tasks are what an ordinary classifier has: one label an image, or no head at all."""
    return not tasks or (len(tasks) == 1 and tasks[0] == single_label(tasks[0].class_names))
