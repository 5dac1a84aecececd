"""``domainvl predict``: answers about new imagery in the format that it came in; one verb an input family."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from domainvl.cli import predict_dicom, predict_nuscenes


class _VerbGroup(TyperGroup):
    """Makes the verb ``geotiff``, which has options of a converter, when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted({"geotiff", *super().list_commands(ctx)})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name != "geotiff":
            return super().get_command(ctx, cmd_name)
        from domainvl.cli import predict_geotiff

        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(name=cmd_name, epilog=predict_geotiff.EPILOG)(predict_geotiff.make_command())
        return get_command(single)


app = typer.Typer(
    cls=_VerbGroup, help="Answer questions about new imagery, in the format that it came in.", no_args_is_help=True
)


@app.callback()
def _predict() -> None:
    """Answer questions about new imagery, in the format that it came in."""


app.command(name="dicom", epilog=predict_dicom.EPILOG)(predict_dicom.dicom)
app.command(name="nuscenes", epilog=predict_nuscenes.EPILOG)(predict_nuscenes.nuscenes)
