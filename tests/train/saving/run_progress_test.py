"""What a training remembers: which evaluation is the best, and what has stalled."""

from jtransfer.train.saving.run_progress import RunProgress


def test_of_equal_scores_the_lower_loss_is_better_and_of_equal_losses_the_later_step():
    assert RunProgress().better(0.0, 1)
    best = RunProgress(0.5, 1, best_loss=2.0)
    assert best.better(0.6, 2, 9.0)
    assert best.better(0.5, 2, 1.9)
    assert best.better(0.5, 2, 2.0)
    assert not best.better(0.5, 2, 2.1)
    assert not best.better(0.5, 2, float('nan'))
    assert not best.better(0.4, 2, 0.1)
    # Of a checkpoint that does not say its loss, and where there is none.
    assert RunProgress(0.5, 1).better(0.5, 2)
    # A resumed run comes by what has been compared already.
    assert not RunProgress(0.5, 6, best_loss=2.0).better(0.5, 3, 2.0)


def test_a_score_that_stays_has_stalled_though_its_loss_falls():
    progress = RunProgress()
    for step, loss in enumerate((3.0, 2.0, 1.0), 1):
        progress = progress.after(1.0, step, loss)
    assert (progress.best_step, progress.best_loss, progress.stalled) == (3, 1.0, 2)


def test_what_a_signal_left_undone_is_taken_up_once():
    row = {'loss': 1.5}
    stopped = RunProgress(0.5, 1).stopped([row], 2.0, due=True)
    assert (stopped.pending, stopped.seconds, stopped.due) == ((row,), 2.0, True)
    assert stopped.on_time() == RunProgress(0.5, 1)
    assert RunProgress().stopped([], 2.0, due=False) == RunProgress()
