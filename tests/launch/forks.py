"""A process that has imported the library, and forks for every script: `python -m launch.SCRIPT` without its imports.

Each fork is a process as any other: its arguments, working directory, environment, streams, signals and exit status are
its own, and JAX has not started in it. One request a line of standard input, one answer a line of standard output.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import sys


def preload() -> None:
    """Imports what the scripts import."""
    from jtransfer import evaluate, experiments
    from launch import app  # noqa: F401

    for package in (evaluate, experiments):
        for module in pkgutil.iter_modules(package.__path__, f'{package.__name__}.'):
            importlib.import_module(module.name)


def become(request) -> None:
    """Makes the fork the process that was asked for, and runs it to its end."""
    for number, path in enumerate((os.devnull, request['stdout'], request['stderr'])):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(request['cwd'])
    for name in os.environ.keys() - request['environment'].keys():
        del os.environ[name]
    os.environ.update(request['environment'])

    import jax

    from launch import app

    # What JAX reads when it is imported, which is after the script has set it.
    app.cache_compilations()
    for name, kind in (
        ('jax_platforms', str),
        ('jax_compilation_cache_dir', str),
        ('jax_persistent_cache_min_compile_time_secs', float),
    ):
        if value := os.environ.get(name.upper()):
            jax.config.update(name, kind(value))
    sys.argv[:] = [request['script'], *request['arguments']]
    if code := request.get('code'):
        sys.argv[0] = '-c'
        exec(compile(code, '<string>', 'exec'), {'__name__': '__main__'})
    else:
        runpy.run_module(f'launch.{request["script"]}', run_name='__main__', alter_sys=True)


def serve() -> None:
    """Answers requests with exit statuses until standard input ends."""
    answers = os.dup(1)
    os.dup2(2, 1)
    preload()
    gc.freeze()  # collecting in a fork would copy every page
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            os.close(answers)
            return become(json.loads(line))
        _, ended = os.waitpid(child, 0)
        os.write(answers, f'{os.waitstatus_to_exitcode(ended)}\n'.encode())
    return None


if __name__ == '__main__':
    serve()
