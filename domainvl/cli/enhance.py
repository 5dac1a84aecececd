"""``domainvl enhance``: super-resolution learned from zoom pairs that do not line up, one verb a step."""

from __future__ import annotations

import typer

from domainvl.cli import enhance_apply, enhance_eval, enhance_register, enhance_train

app = typer.Typer(
    help="Super-resolution learned from pairs that do not line up: register, train, apply, prove.", no_args_is_help=True
)


@app.callback()
def _enhance() -> None:
    """Super-resolution learned from pairs that do not line up."""


app.command(name="register", epilog=enhance_register.EPILOG)(enhance_register.register)
app.command(name="train", epilog=enhance_train.EPILOG)(enhance_train.train)
app.command(name="apply", epilog=enhance_apply.EPILOG)(enhance_apply.apply)
app.command(name="eval", epilog=enhance_eval.EPILOG)(enhance_eval.evaluate)
