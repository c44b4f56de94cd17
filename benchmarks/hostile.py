"""What becomes of crafted files: configurations, weights, archives, tables, pictures and run directories.

    python -m benchmarks.hostile
    python -m benchmarks.hostile --kinds=npz,torch --cases=20 --seed=7 --noresult

Each case writes files of one kind (`benchmarks.hostile_cases`) into a folder of its own and calls what a person would
call. It has to end in a result or in one line (`UserError`), within the time and with the memory allowed, having
executed nothing. Cases run in workers; one that hangs or ends is replaced, and its case is counted as that. Memory is
what the process holds at most above what it held before, as Linux counts it.

Writes the table of kinds × outcomes to `benchmarks/results/hostile.json` and prints it, with the first line of every
case that should not be. Ends with status 1 where there is one.
"""

import collections
import contextlib
import importlib.metadata
import json
import multiprocessing
import pathlib
import re
import shutil
import sys
import tempfile
import time
import zlib

from absl import app, flags

from benchmarks.machine import circumstances

_CASES = flags.DEFINE_integer('cases', 600, 'Cases, of all kinds together.')
_KINDS = flags.DEFINE_list('kinds', [], 'Only these.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of the cases.')
_WORKERS = flags.DEFINE_integer('workers', 2, 'Processes.')
_SECONDS = flags.DEFINE_float('seconds', 20.0, 'Allowed for a case, of the processor.')
_MEBIBYTES = flags.DEFINE_integer('mebibytes', 512, 'Allowed for a case.')
_RESULT = flags.DEFINE_bool('result', True, 'Write the result.')

RESULTS = pathlib.Path(__file__).resolve().parent / 'results' / 'hostile.json'
GOOD = ('result', 'one line')
OUTCOMES = (*GOOD, 'traceback', 'not one line', 'too slow', 'too large', 'process ended', 'executed')
_LONGEST = 4000
# A case that stands still is waited for so many times the processor seconds that it is allowed, and one that grows is
# ended at so many times the memory.
_PATIENCE = 5
_HELD = re.compile(r'^(VmRSS|VmHWM):\s+(\d+) kB', re.MULTILINE)


def held(process='self') -> dict[str, int]:
    """Memory that a process holds, and the most that it held since `forget_peak`, MiB."""
    status = pathlib.Path('/proc', str(process), 'status')
    try:
        found = _HELD.findall(status.read_text())
    except OSError:  # another system, or a process that has just ended
        return {}
    return {name: int(kibibytes) // 1024 for name, kibibytes in found}


def forget_peak() -> None:
    """Linux counts the most from here on."""
    with contextlib.suppress(OSError):
        pathlib.Path('/proc/self/clear_refs').write_text('5')


def work(connection) -> None:
    """Answers (kind, number, seed, folder) with what became of the case, until there are no more."""
    import numpy as np

    from benchmarks.hostile_cases import KINDS
    from jtransfer.errors import UserError

    while (task := connection.recv()) is not None:
        kind, number, seed, folder = task
        random = np.random.default_rng([seed, number, zlib.crc32(kind.encode())])
        action = KINDS[kind](random, pathlib.Path(folder))
        forget_peak()
        before, start = held(), time.process_time()
        connection.send(before.get('VmRSS', 0))
        try:
            action()
            outcome, line = 'result', ''
        except UserError as error:
            line = str(error)
            outcome = 'one line' if '\n' not in line and len(line) <= _LONGEST else 'not one line'
        except BaseException as error:
            outcome, line = 'traceback', f'{type(error).__name__}: {error}'
        grown = held().get('VmHWM', 0) - before.get('VmRSS', 0)
        connection.send((outcome, line[:300], time.process_time() - start, grown))


class Worker:
    """A process, and the case that it is at."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Anew, in place of one that is gone."""
        context = multiprocessing.get_context('spawn')
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.since, self.before = None, 0

    def give(self, task) -> None:
        """A case to do."""
        self.since, self.before = None, 0
        self.connection.send(task)

    def look(self, seconds: float, mebibytes: int):
        """What became of the case; None while it is being done."""
        try:
            while self.connection.poll(0.02):
                answer = self.connection.recv()
                if isinstance(answer, tuple):
                    return answer
                self.since, self.before = time.monotonic(), answer
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            self.start()
            return 'process ended', f'status {code}', 0.0, 0
        if self.since is not None and time.monotonic() - self.since > _PATIENCE * seconds:
            self.process.kill()
            self.start()
            return 'too slow', 'it stood still', _PATIENCE * seconds, 0
        grown = held(self.process.pid).get('VmRSS', 0) - self.before
        # Before it takes all that the machine has.
        if self.since is not None and grown > _PATIENCE * mebibytes:
            self.process.kill()
            self.start()
            return 'too large', f'{grown} MiB', 0.0, grown
        return None


def judged(answer, folder: pathlib.Path, seconds: float, mebibytes: int) -> tuple[str, str]:
    """The outcome and its line, also by what is left on the disk."""
    outcome, line, taken, grown = answer
    if any(folder.rglob('executed*')) or pathlib.Path('executed').exists():
        return 'executed', line
    if outcome in GOOD and taken > seconds:
        return 'too slow', f'{taken:.1f} s: {line}'
    if outcome in GOOD and grown > mebibytes:
        return 'too large', f'{grown} MiB: {line}'
    return outcome, line


def run(tasks, workers: int, seconds: float, mebibytes: int):
    """All cases; yields the kind, the number, the outcome, its line, seconds and MiB."""
    left = collections.deque(tasks)
    pool = [Worker() for _ in range(min(workers, len(left)))]
    busy = {}
    while left or busy:
        for worker in pool:
            if worker not in busy and left:
                busy[worker] = left.popleft()
                worker.give(busy[worker])
            if worker not in busy or (answer := worker.look(seconds, mebibytes)) is None:
                continue
            kind, number, _, folder = busy.pop(worker)
            outcome, line = judged(answer, pathlib.Path(folder), seconds, mebibytes)
            shutil.rmtree(folder, ignore_errors=True)
            yield kind, number, outcome, line, answer[2], answer[3]
    for worker in pool:
        worker.process.kill()


def main(argv):
    """Runs, prints and writes."""
    del argv
    from benchmarks.hostile_cases import KINDS

    kinds = _KINDS.value or list(KINDS)
    table = {kind: dict.fromkeys(OUTCOMES, 0) for kind in kinds}
    slowest, largest, bad = 0.0, 0, []
    with tempfile.TemporaryDirectory() as root:
        tasks = []
        for index in range(_CASES.value):
            folder = pathlib.Path(root, str(index))
            folder.mkdir()
            tasks.append((kinds[index % len(kinds)], index // len(kinds), _SEED.value, str(folder)))
        for kind, number, outcome, line, seconds, grown in run(tasks, _WORKERS.value, _SECONDS.value, _MEBIBYTES.value):
            table[kind][outcome] += 1
            slowest, largest = max(slowest, seconds), max(largest, grown)
            if outcome not in GOOD:
                bad.append((kind, number, outcome, line))
                print(f'{kind} {number}: {outcome}: {line!a}', file=sys.stderr, flush=True)
    width = max(map(len, kinds))
    shown = [outcome for outcome in OUTCOMES if outcome in GOOD or any(row[outcome] for row in table.values())]
    print(' ' * width, *shown, sep='  ')
    for kind, row in table.items():
        print(kind.ljust(width), *(str(row[outcome]).rjust(len(outcome)) for outcome in shown), sep='  ')
    print(f'{_CASES.value} cases, {len(bad)} of them bad; at most {slowest:.1f} s and {largest} MiB')
    if _RESULT.value:
        record = circumstances(' '.join(['python -m benchmarks.hostile', *sys.argv[1:]]))
        # Without it, its files are told that they need it, and nothing is tried.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            record['versions']['torch'] = importlib.metadata.version('torch')
        record |= {
            'cases': _CASES.value,
            'seed': _SEED.value,
            'allowed': {'seconds': _SECONDS.value, 'mebibytes': _MEBIBYTES.value},
            'bad': len(bad),
            'most': {'seconds': round(slowest, 1), 'mebibytes': largest},
            'results': table,
        }
        RESULTS.write_text(json.dumps(record, indent=2) + '\n')
    sys.exit(1 if bad else 0)


if __name__ == '__main__':
    app.run(main)
