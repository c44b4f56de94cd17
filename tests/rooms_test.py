"""Imports point one way: a room imports those below it, and no file, by way of others, itself."""

import ast
import functools
import graphlib
import pathlib

LIBRARY = pathlib.Path(__file__).parent.parent / 'jtransfer'
# From the ground up, as in docs/architecture.md.
ROOMS = (
    *('text', 'errors', 'checks', 'files', 'out_of_memory', 'rules', 'stopping', 'config'),
    *('tasks', 'inputs', 'models', 'adapters', 'pretrained', 'transfer', 'augment'),
    *('data', 'evaluate', 'report', 'train', 'experiments', 'api'),
)
MODULES = {
    '.'.join(path.relative_to(LIBRARY.parent).with_suffix('').parts).removesuffix('.__init__'): path
    for path in LIBRARY.rglob('*.py')
}


@functools.cache
def imported(path, everywhere=True):
    """The library's modules that a file imports; at its top alone, or in functions too."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    found = []
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split('.')[0] == 'jtransfer':
            inner = [f'{node.module}.{alias.name}' for alias in node.names]
            found += (name if name in MODULES else node.module for name in inner)
    return found


def room(module):
    return module.split('.')[1] if '.' in module else ''


def test_every_room_is_known():
    assert {room(module) for module in MODULES} - {''} == set(ROOMS)


def test_no_room_imports_a_higher_one():
    height = {name: index for index, name in enumerate(ROOMS)}
    wrong = [
        (module, other)
        for module, path in MODULES.items()
        if room(module)
        for other in imported(path)
        if room(other) and height[room(other)] > height[room(module)]
    ]
    assert not wrong


def test_no_file_imports_itself_by_way_of_others():
    graph = {
        module: {other for other in imported(path, everywhere=False) if other != module and path.name != '__init__.py'}
        for module, path in MODULES.items()
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises `CycleError`, which names the circle
    assert set(order) == set(MODULES)


GROUND = ('text', 'errors', 'checks', 'files', 'out_of_memory', 'rules', 'stopping')


def arrows():
    """What each room imports that it does not reach by way of others, as pairs."""
    graph = {}
    for module, path in MODULES.items():
        ends = [('ground' if room(end) in GROUND else room(end)) for end in (module, *imported(path))]
        graph.setdefault(ends[0], set()).update(end for end in ends[1:] if end and end != ends[0])
    graph.pop('', None)  # the package, which imports a name on its first use

    @functools.cache
    def reached(start):
        return graph.get(start, set()).union(*(reached(end) for end in graph.get(start, ())))

    return {
        (start, end)
        for start, ends in graph.items()
        for end in ends
        if not any(end in reached(other) for other in ends - {end})
    }


def test_the_diagram_of_the_rooms_is_that_of_the_imports():
    page = (LIBRARY.parent / 'docs' / 'architecture.md').read_text(encoding='utf-8')
    _, _, diagram = page.partition('```mermaid\n')
    drawn = [tuple(line.split(' --> ')) for line in map(str.strip, diagram.partition('```')[0].splitlines()[1:])]
    assert sorted(drawn) == sorted(arrows())
