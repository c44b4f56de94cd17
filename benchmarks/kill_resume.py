"""Whether runs that are killed go on as if nothing had happened: at random moments, and at every file operation.

    python -m benchmarks.kill_resume --kills=20 --terms=10 --operations=60

A short run with validation and two phases is begun as `launch.finetune` begins it, ended by SIGKILL or SIGTERM, and
resumed with `train.resume=auto`. Network, figures, tables, predictions and metrics must then be those of a run that
nothing happened to, byte for byte, and nothing half-written may be left. Every run is a process of its own, forked from
one that has imported everything. Writes `benchmarks/results/kill_resume.json`, where parts that are not run again stay.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
import pathlib
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence

from absl import flags

from benchmarks.machine import circumstances

_KILLS = flags.DEFINE_integer('kills', 20, 'Runs ended by SIGKILL at a random moment.', lower_bound=0)
_TERMS = flags.DEFINE_integer('terms', 10, 'Runs ended by SIGTERM at a random moment.', lower_bound=0)
_OPERATIONS = flags.DEFINE_integer(
    'operations', 60, 'The last of the file operations, each of which ends a run.', lower_bound=0
)
_FIRST = flags.DEFINE_integer('first', 1, 'The first of these operations.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the random moments.')

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / 'benchmarks' / 'results' / 'kill_resume.json'
CONFIG = """
from jtransfer import config


def get_config():
    return config.Config(
        name='short',
        model=config.Model(checkpoint='{place}/start.safetensors'),
        data=config.Data(source='folder:{place}/images', batch_size=8, test_fraction=0.25, validation_fraction=0.25),
        transfer=config.Transfer(strategy='one_then_all'),
        optim=config.Optim(learning_rate=0.01, ema_decay=0.9),
        augment=config.Augment(crop_scale=(0.5, 1.0), horizontal_flip=0.5),
        train=config.Train(steps=8, log_every=1, evaluate_every=2, checkpoint_every=2, progress=False),
        evaluate=config.Evaluate(batch_size=16, most_wrong=2),
    )
"""
# What a file operation of Python is called by those who watch it (sys.addaudithook).
_CHANGES = {'os.mkdir', 'os.rename', 'os.remove', 'os.rmdir', 'os.truncate', 'os.link', 'os.symlink'}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# A run that was asked to end has ended so, by its own handler or by the system's.
_ENDED = {signal.SIGKILL: {-signal.SIGKILL}, signal.SIGTERM: {-signal.SIGTERM, 128 + signal.SIGTERM}}


@dataclasses.dataclass
class Case:
    """What became of a run that was ended.

    Attributes:
        moment: how far it had come.
        verdict: `identical`, or what is wrong.
    """

    moment: str
    verdict: str


def main() -> None:
    """Runs every part."""
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {
            'JAX_PLATFORMS': 'cpu',
            'JAX_COMPILATION_CACHE_DIR': f'{place}/xla',
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
            'XDG_CACHE_HOME': f'{place}/cache',
        }
        _import_everything()
        _measure(pathlib.Path(place))


def _measure(place: pathlib.Path) -> None:
    _in_child(place / 'start', lambda: _prepare(place))
    _run(place / 'compiles')  # everything is in the cache of programs now
    began = time.perf_counter()
    seen = place / 'operations'
    if status := _run(place / 'whole', before=lambda: _watch(place / 'whole', count_in=seen)):
        log = (place / 'whole.log').read_text('utf-8')
        raise SystemExit(f'the run that nothing happens to ended with status {status}: {log}')
    seconds = time.perf_counter() - began
    operations = int(seen.read_text())
    expected = fingerprint(place / 'whole')
    print(f'a run takes {seconds:.1f} s and {operations} file operations', flush=True)
    moments = random.Random(_SEED.value)
    kill, term = signal.SIGKILL, signal.SIGTERM
    parts: list[tuple[str, Sequence[tuple[int, float, int]]]] = [
        ('SIGKILL at a random moment', [(kill, moments.uniform(0, seconds), 0) for _ in range(_KILLS.value)]),
        ('SIGTERM at a random moment', [(term, moments.uniform(0, seconds), 0) for _ in range(_TERMS.value)]),
        (
            f'SIGKILL at each of the file operations {_FIRST.value} to {_OPERATIONS.value}',
            [(kill, 0.0, number) for number in range(_FIRST.value, _OPERATIONS.value + 1)],
        ),
    ]
    command = (
        f'python -m benchmarks.kill_resume --kills={_KILLS.value} --terms={_TERMS.value} '
        f'--operations={_OPERATIONS.value} --first={_FIRST.value} --seed={_SEED.value}'
    )
    about = {**circumstances(command), 'file operations of a run': operations}
    for name, ends in parts:
        cases: list[Case] = []
        for end in ends:
            cases.append(_case(place / 'run', *end, expected))
            _record(name, about, cases)
            print(f'{len(cases)} of {len(ends)}: {cases[-1].moment}: {cases[-1].verdict}', flush=True)


def _record(name: str, about: dict[str, object], cases: Sequence[Case]) -> None:
    """Writes what is known of a part by now; the other parts stay as they are."""
    results = json.loads(RESULTS.read_text('utf-8')) if RESULTS.exists() else {}
    results[name] = {
        **about,
        'runs': len(cases),
        'resumed bit for bit': sum(case.verdict == 'identical' for case in cases),
        'otherwise': [case.verdict for case in cases if case.verdict != 'identical'],
        'ended': dict(Counter(case.moment for case in cases)),
    }
    RESULTS.write_text(json.dumps(results, indent=2) + '\n', encoding='utf-8')


def _case(run: pathlib.Path, number: int, after: float, operation: int, expected: dict[str, str]) -> Case:
    shutil.rmtree(run, ignore_errors=True)
    watched = (lambda: _watch(run, kill_at=operation)) if operation else None
    status = _run(run, before=watched, end=None if operation else (number, after))
    moment = _moment(run)
    if status and status not in _ENDED[signal.Signals(number)]:
        return Case(moment, f'{moment}: ended with status {status}')
    if not (run / 'result.json').exists() and (status := _run(run, '--config.train.resume=auto')):
        return Case(moment, f'{moment}: resuming ended with status {status}')
    found = fingerprint(run)
    if differs := sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name)):
        return Case(moment, f'{moment}: {", ".join(differs)} differ')
    return Case(moment, 'identical')


def _moment(run: pathlib.Path) -> str:
    """How far a run had come."""
    last = run / 'checkpoints' / 'last'
    for there, name in (
        ((run / 'result.json').exists(), 'finished'),
        ((run / 'model.safetensors').exists(), 'after training'),
        (last.exists() and any(path.name.isdigit() for path in last.iterdir()), 'training, with a checkpoint'),
        ((run / 'metrics.jsonl').exists(), 'training, without a checkpoint'),
        ((run / 'config.json').exists(), 'after the configuration was written'),
        (run.exists(), 'before the configuration was written'),
    ):
        if there:
            return name
    return 'before anything was written'


def fingerprint(run: pathlib.Path) -> dict[str, str]:
    """Digests of all that a finished run says, by file, without how long it took; names alone of what is left over."""
    found = {}
    for path in sorted(path for path in run.rglob('*') if path.is_file()):
        name = path.relative_to(run).as_posix()
        if name.startswith(('checkpoints/', 'tensorboard/')) or name == 'report.html':
            if 'tmp' in name:
                found[name] = 'left over'
            continue
        if name == '.lock':  # of a process that was killed when it had finished: it locks nothing any more
            continue
        content = path.read_bytes()
        if name == 'metrics.jsonl':
            content = json.dumps([_timeless(json.loads(line)) for line in content.splitlines()]).encode()
        elif name == 'result.json':
            content = json.dumps(_timeless(json.loads(content))).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def _timeless(values: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if 'second' not in name}


def _run(
    run: pathlib.Path,
    *more: str,
    before: Callable[[], None] | None = None,
    end: tuple[int, float] | None = None,
) -> int:
    """Runs `launch.finetune` in a process of its own; its exit status, negative after a signal.

    Args:
        run: the run directory.
        more: flags.
        before: called in the process, first.
        end: signal that it is sent, and after how many seconds.
    """

    def work() -> None:
        sys.argv = ['finetune', f'--config={run.parent}/short.py', f'--config.run_dir={run}', *more]
        for flag in (_KILLS, _TERMS, _OPERATIONS, _FIRST, _SEED):
            delattr(flags.FLAGS, flag.name)
        if before:
            before()
        runpy.run_module('launch.finetune', run_name='__main__', alter_sys=True)

    return _in_child(run, work, end)


def _in_child(name: pathlib.Path, work: Callable[[], None], end: tuple[int, float] | None = None) -> int:
    """Works in a process of its own, see `_run`; what it says goes into a log beside the name."""
    process = os.fork()
    if not process:
        status = 70
        try:  # whatever happens: what the parent has begun is not the child's to end
            os.setpgid(0, 0)
            with open(name.with_suffix('.log'), 'a', encoding='utf-8') as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            work()
            status = 0
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else int(bool(left.code))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    if end:
        number, after = end
        time.sleep(after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # nobody of its kin stays
    return os.waitstatus_to_exitcode(status)


def _watch(run: pathlib.Path, *, kill_at: int = 0, count_in: pathlib.Path | None = None) -> None:
    """Counts this process's changes of files in a run directory; the one of a number ends the process."""
    count = 0
    inside = os.fspath(run)

    def operation(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event == 'open':
            if not isinstance(arguments[2], int) or not arguments[2] & _WRITES:
                return
        elif event not in _CHANGES:
            return
        paths = [os.fsdecode(path) for path in arguments if isinstance(path, str | bytes | os.PathLike)]
        if not any(path == inside or path.startswith(inside + os.sep) for path in paths):
            return
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if count_in is not None:
            descriptor = os.open(count_in, os.O_WRONLY | os.O_CREAT)
            os.pwrite(descriptor, f'{count:6d}'.encode(), 0)
            os.close(descriptor)

    sys.addaudithook(operation)


def _prepare(place: pathlib.Path) -> None:
    """Pictures, a network to start from, and the configuration."""
    import numpy as np
    from PIL import Image

    from jtransfer.pretrained.checkpoint import save_model
    from jtransfer.pretrained.model import load_model

    draw = np.random.default_rng(0)
    for name in ('ant', 'bee', 'fly'):
        (place / 'images' / name).mkdir(parents=True)
        for number in range(16):
            pixels = draw.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(place / 'images' / name / f'{number}.png')
    model = load_model(architecture='resnet_tiny', class_names=('p', 'q', 'r', 's'))
    save_model(
        place / 'start.safetensors',
        model.variables,
        architecture=model.architecture,
        class_names=model.class_names,
        preprocessing=model.preprocessing,
    )
    (place / 'short.py').write_text(CONFIG.format(place=place), encoding='utf-8')


def _import_everything() -> None:
    """What is imported here no run has to import; no device is touched, for that does not survive a fork."""
    for name in (
        'jtransfer.experiments.run.finetune',
        'matplotlib.font_manager',
        'sklearn.metrics',
        'sklearn.model_selection',
        'scipy.stats',
        'tensorboardX.event_file_writer',
        'tensorboardX.summary',
    ):
        importlib.import_module(name)


if __name__ == '__main__':
    flags.FLAGS(sys.argv)  # and not by app.run, which every process may call once: the runs do
    main()
