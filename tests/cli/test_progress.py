"""The bar of training goes to stderr, where what a command prints is not."""

from domainvl.cli.progress import training_bar


def test_the_bar_shows_how_far_it_is_on_stderr(capsys):
    bar = training_bar()
    task = bar.add_task("loss 0.5", total=4)
    with bar:
        bar.update(task, completed=3)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "loss 0.5" in printed.err
    assert "3/4" in printed.err
