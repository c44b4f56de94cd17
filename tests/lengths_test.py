"""Files of the library are short enough to be read in one go, and so are functions, but where a reason stands here."""

import ast
import pathlib

LIBRARY = pathlib.Path(__file__).parent.parent / 'jtransfer'
FILE, FUNCTION = 350, 60  # lines; of a function without its docstring
FILES = {
    'tasks/base.py': 'one class, the contract of a task, whose members are to be read side by side',
}
# One straight sequence each, whose steps have names already.
FUNCTIONS = {
    'pretrained/model.py:load_model': 'from what a person says to a model; the steps share a dozen values',
    'pretrained/foreign.py:open_published': 'from a file to our names; each step may refuse it',
    'transfer/plan.py:make_plan': 'rules to groups; the checks stand where what they check is made',
    'experiments/soup/soup.py:make_soup': 'what is asked, read, averaged and written, in that order',
    'experiments/crossval/side_by_side.py:_run': 'as `finetune.run`, for all folds',
    'experiments/sweep/plot.py:plot': 'one figure, drawn from top to bottom',
    'data/decode/memory.py:_decode_into_cache': 'what is told at the end was noted on the way',
}


def lengths():
    files, functions = {}, {}
    for path in sorted(LIBRARY.rglob('*.py')):
        text, name = path.read_text(encoding='utf-8'), path.relative_to(LIBRARY).as_posix()
        files[name] = text.count('\n')
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                documented = ast.get_docstring(node) is not None and len(node.body) > 1
                first = node.body[1].lineno if documented else node.lineno
                functions[f'{name}:{node.name}'] = node.end_lineno - first + 1
    return files, functions


def test_files_and_functions_are_short_or_have_a_reason():
    files, functions = lengths()
    assert {name for name, lines in files.items() if lines > FILE} == set(FILES)
    assert {name for name, lines in functions.items() if lines > FUNCTION} == set(FUNCTIONS)
