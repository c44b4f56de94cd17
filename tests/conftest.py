"""Eight simulated devices for every test, and compilation that takes little time, set before JAX starts.

The tiny networks of the tests spend their time compiling. Without LLVM's optimisations, without MLIR's emitters of
fused loops and in one piece a program compiles several times as fast. The compiled cost that some tests assert is
that of the program XLA optimised, which is the same.

Fixtures for tests of whole runs: tiny pictures, tiny networks, and a cache of what has been compiled already.
"""

import gc
import os
import pathlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

os.environ['XLA_FLAGS'] = ' '.join(
    [
        os.environ.get('XLA_FLAGS', ''),
        '--xla_force_host_platform_device_count=8',
        '--xla_backend_optimization_level=0',
        '--xla_cpu_use_fusion_emitters=false',
        '--xla_cpu_parallel_codegen_split_count=1',
        # On a busy machine eight simulated devices may wait long for each other; XLA would end the process after 40 s.
        '--xla_cpu_collective_call_terminate_timeout_seconds=600',
    ]
)
# Two programs in flight over simulated devices can each hold the threads that the other waits for, until XLA gives up.
os.environ.setdefault('JAX_CPU_ENABLE_ASYNC_DISPATCH', 'false')
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# Operations are traced with the names of their scopes, but without the stack of Python's frames that led to each.
os.environ.setdefault('JAX_TRACEBACK_IN_LOCATIONS_LIMIT', '0')

import jaxtyping
import numpy as np
import pytest
from PIL import Image

LIBRARY = pathlib.Path(__file__).parents[1] / 'jtransfer'


def stating_shapes() -> list[str]:
    """The modules whose signatures state the shapes of arrays (but for `data`, whose own checks come first)."""
    files = (path for path in LIBRARY.rglob('*.py') if path.relative_to(LIBRARY).parts[0] != 'data')
    stating = (path for path in files if 'from jaxtyping import' in path.read_text(encoding='utf-8'))
    return sorted('.'.join(path.relative_to(LIBRARY.parent).with_suffix('').parts) for path in stating)


# The shapes are checked while the tests run: before anything imports the library.
jaxtyping.install_import_hook(stating_shapes(), 'beartype.beartype')

CLASSES = ('ant', 'bee', 'cat')
MOST_KIB = 3 * 2**20


def pytest_collection_finish(session: pytest.Session) -> None:
    """What has been imported stays, and need not be looked through; tracing makes much that is no rubbish."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope='session', autouse=True)
def decoded_elsewhere(tmp_path_factory) -> Iterator[pathlib.Path]:
    """Where decoded pictures are kept by default: not in the cache of the person who runs the tests."""
    from jtransfer.data.decode import decode_cache

    folder = tmp_path_factory.mktemp('decoded')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode_cache, 'default_folder', lambda: folder)
        yield folder


@pytest.fixture(scope='session')
def photos(tmp_path_factory) -> pathlib.Path:
    """A folder of three classes of twelve small pictures, which differ in colour, not without overlap."""
    folder = tmp_path_factory.mktemp('photos')
    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for index in range(12):
            picture = random.integers(0, 200, (20, 24, 3), dtype=np.uint8)
            picture[..., number] += np.uint8(random.integers(0, 50))
            Image.fromarray(picture).save(folder / name / f'{index:02}.png')
    return folder


@pytest.fixture(scope='session')
def checkpoints(tmp_path_factory) -> dict[str, str]:
    """Saved tiny networks of random weights, by family."""
    from jtransfer.pretrained.checkpoint import save_model
    from jtransfer.pretrained.model import load_model

    folder = tmp_path_factory.mktemp('checkpoints')
    files = {}
    for family, architecture in (('resnet', 'resnet_tiny'), ('vit', 'vit_tiny_test')):
        model = load_model(architecture=architecture, class_names=('p', 'q', 'r', 's'))
        files[family] = str(folder / f'{family}.safetensors')
        save_model(
            files[family],
            model.variables,
            architecture=architecture,
            class_names=model.class_names,
            preprocessing=model.preprocessing,
        )
    return files


@pytest.fixture(scope='session')
def tiny_config(photos, checkpoints) -> Callable[..., Any]:
    """A configuration of a run that takes a second; keyword arguments set fields by dotted name."""
    from jtransfer import config

    def make(**settings: Any) -> config.Config:
        tiny = config.Config(
            name='tiny',
            model=config.Model(checkpoint=checkpoints['resnet'], head_init='normal'),
            data=config.Data(source=f'folder:{photos}', batch_size=8, test_fraction=0.4),
            transfer=config.Transfer(strategy='linear_probe'),
            optim=config.Optim(learning_rate=0.05),
            train=config.Train(steps=4, log_every=1, progress=False, tensorboard=False),
            evaluate=config.Evaluate(batch_size=8, most_wrong=2),
        )
        for field, value in settings.items():
            tiny = config.replace(tiny, field, value)
        return tiny

    return make


@pytest.fixture(scope='module', autouse=True)
def _bounded_memory() -> Iterator[None]:
    """Compiled programs stay in memory; a process that has come to hold thousands of them lets them go."""
    yield
    status = pathlib.Path('/proc/self/status')
    held = status.read_text().partition('VmRSS:')[2].split()[:1] if status.exists() else []
    if held and int(held[0]) > MOST_KIB:
        import jax

        jax.clear_caches()
        gc.unfreeze()
    gc.collect()
    gc.freeze()  # what a file leaves behind need not be looked through for every file after it


@pytest.fixture(scope='session')
def _compilations(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp('compilations')


@pytest.fixture(scope='module')
def compile_once(_compilations) -> Iterator[pathlib.Path]:
    """Lets the runs of a test file share what they compile; ends with the file, for others look at compilations."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    names = ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs')
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in zip(names, (str(_compilations), 0.0), strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield _compilations
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


class Signalled:
    """Called, it is as if SIGTERM had just arrived."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def __call__(self, *_: Any) -> None:
        from jtransfer import stopping

        self._patch.setattr(stopping._WORK, 'signal', signal.SIGTERM)

    def over(self) -> None:
        """Another process, which has had no signal."""
        self._patch.undo()


@pytest.fixture
def signalled() -> Iterator[Signalled]:
    """Asks the work to stop, when it is called."""
    with pytest.MonkeyPatch.context() as patch:
        yield Signalled(patch)


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> pathlib.Path:
    """An empty working directory."""
    folder = tmp_path / 'nowhere'
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
