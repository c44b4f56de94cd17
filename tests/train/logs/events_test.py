"""TensorBoard's events: what cannot be written ends in a line, not in a thread; the numbers: log_test."""

import gc
import threading

import pytest

from jtransfer.errors import WritingError
from jtransfer.train.logs.events import EventFile
from tests.full_disk import files_up_to


# tensorboardX leaves a file open that it cannot write.
@pytest.mark.filterwarnings('ignore::ResourceWarning', 'ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_full_disk_is_said_at_once_or_at_the_end(tmp_path):
    before = threading.active_count()
    file = EventFile(tmp_path / 'tensorboard', after_step=0)
    file.write(1, {'loss': 0.5})
    with files_up_to(100), pytest.raises(WritingError, match=r'tensorboard cannot be written: File too large; raise'):
        file.close()
    file = EventFile(tmp_path / 'more', after_step=0)
    with files_up_to(4000), pytest.raises(WritingError, match=r'more cannot be written: File too large; raise'):
        _ = [file.write(step, {'loss': 0.5}) for step in range(2000)]
    assert threading.active_count() == before
    del file
    gc.collect()
