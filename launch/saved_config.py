"""Reads the configuration that a run saved as JSON, for `--config=RUN_DIR` and `--config=RUN_DIR/config.json`."""

from jtransfer.config import Config, from_dict
from jtransfer.errors import UserError
from jtransfer.files.reading import read_json_object


def get_config(path: str) -> Config:
    """The configuration in a JSON file.

    Raises:
        UserError: the file is no JSON, or holds a field that does not exist.
    """
    try:
        return from_dict(read_json_object(path))
    except (UserError, RecursionError) as error:
        raise UserError(f'{path} is not a saved configuration: {error}') from None
