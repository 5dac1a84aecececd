"""``domainvl recipe``: which recipes there are, what they say and why, whether they hold, how they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domainvl.cli.options import Changes, MethodOption, ModelOption, parse_method
from domainvl.errors import ExitCode

if TYPE_CHECKING:
    from domainvl.training.recipe_check import Finding
    from domainvl.training.recipe_files import TracedRecipe

app = typer.Typer(help="Recipes: list, show, check and compare them.", no_args_is_help=True)

Reference = Annotated[str, typer.Argument(help="Name of a recipe, or a .yaml file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(name="list", epilog="Example: domainvl recipe list")
def list_(as_json: AsJson = False) -> None:
    """List the recipes that ship with domainvl."""
    from domainvl.training.recipe_files import load_recipe, recipe_names

    rows = []
    for name in recipe_names():
        recipe = load_recipe(name)
        method = "qlora" if recipe.quantisation != "none" else recipe.method
        rows.append({"name": name, "method": method, "model": recipe.model, "description": recipe.description})
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        _print_table(("name", "method", "model", "what it is for"), [list(row.values()) for row in rows])


@app.command(name="show", epilog="Example: domainvl recipe show medical --set lora.rank=32 > mine.yaml")
def show(
    recipe: Reference,
    method: MethodOption = None,
    model: ModelOption = None,
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Print all values of a recipe, each with the file that sets it.

    What is printed is a recipe itself: saved to a file, it is the same one.
    """
    from domainvl.training.recipe_files import recipe_header, trace_recipe, values_of

    chosen = parse_method(method)
    traced = trace_recipe(recipe, method=chosen, overrides=changes or [], model=model)
    header = recipe_header(recipe, chosen)
    if as_json:
        values = {key: {"value": value, "from": traced.origins[key]} for key, value in values_of(traced.recipe).items()}
        content = {"name": traced.recipe.name, "chain": traced.chain, "header": header, "values": values}
        typer.echo(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        typer.echo("\n".join(_as_yaml(traced, header)))


@app.command(
    name="check",
    epilog="Exit codes: 0 nothing contradicts, 2 something does. Example: domainvl recipe check mine.yaml --data chest",
)
def check(
    recipe: Reference,
    data: Annotated[Path | None, typer.Option(help="Data set that it is to be used on.")] = None,
    method: MethodOption = None,
    model: ModelOption = None,
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Check a recipe against the rules and, with --data, against a data set, before anything is loaded."""
    from domainvl.training.recipe_check import check_against_dataset
    from domainvl.training.recipe_files import trace_recipe

    traced = trace_recipe(recipe, method=parse_method(method), overrides=changes or [], model=model)
    found = [] if data is None else check_against_dataset(traced.recipe, data)
    contradicted = any(finding.severity == "contradiction" for finding in found)
    if as_json:
        content = {"name": traced.recipe.name, "chain": traced.chain, "ok": not contradicted}
        typer.echo(json.dumps({**content, "findings": [vars(finding) for finding in found]}, indent=1))
    else:
        _print_findings(traced, found, data)
    if contradicted:
        raise typer.Exit(int(ExitCode.USAGE))


@app.command(
    name="diff",
    epilog="Exit codes: 0 equal, 8 different, 2 usage. Example: domainvl recipe diff medical/lora published/medical-2b",
)
def diff(
    first: Annotated[str, typer.Argument(help="Name of a recipe, or a .yaml file.")],
    second: Annotated[str, typer.Argument(help="The other.")],
    as_json: AsJson = False,
) -> None:
    """Print the values that two recipes have differently, side by side."""
    from domainvl.training.recipe_files import compare_recipes, load_recipe

    recipes = [load_recipe(first), load_recipe(second)]
    found = compare_recipes(*recipes)
    if as_json:
        content = {"first": recipes[0].name, "second": recipes[1].name, "equal": not found}
        typer.echo(json.dumps({**content, "differences": [vars(one) for one in found]}, indent=1))
    elif found:
        rows = [[one.key, _written(one.first), _written(one.second)] for one in found]
        _print_table(("key", recipes[0].name, recipes[1].name), rows)
    else:
        typer.echo("no value differs")
    raise typer.Exit(int(ExitCode.PARTIAL if found else ExitCode.DONE))


def _as_yaml(traced: TracedRecipe, header: dict[str, str]) -> Iterator[str]:
    """Yield the lines of a recipe as YAML, what sets each value behind it as a comment."""
    for item, said in header.items():
        yield f"# {item.capitalize()}: {said}"
    yield f"# Extends: {' > '.join(reversed(traced.chain))}"
    lines = list(_yaml_lines(traced.recipe.model_dump(mode="json"), ()))
    width = min(60, max(len(text) for text, _ in lines))
    for text, key in lines:
        yield text if key is None else f"{text:{width}}  # {traced.origins[key]}"


def _yaml_lines(held: dict[str, Any], sections: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """Yield each line, with the value's key; None for the head of a section."""
    indent = "  " * len(sections)
    for key, value in held.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:", None
            yield from _yaml_lines(value, (*sections, key))
        else:
            yield f"{indent}{key}: {_written(value)}", ".".join((*sections, key))


def _written(value: Any) -> str:
    """Write a value as YAML in one line."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")


def _print_findings(traced: TracedRecipe, found: Sequence[Finding], data: Path | None) -> None:
    recipe = traced.recipe
    parts = ", ".join(sorted(recipe.trained_parts()))
    typer.echo(f"{recipe.name}: valid; {recipe.method}, trains {parts}; model {recipe.model}")
    typer.echo(f"extends: {' > '.join(reversed(traced.chain))}")
    for finding in found:
        typer.echo(f"{finding.severity}: {finding.key}: {finding.said}. {finding.action}.")
    if data is not None and not any(finding.severity == "contradiction" for finding in found):
        typer.echo(f"nothing contradicts {data}")


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; under a pipe without lines, colours and folding, a row a line."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # takes [brackets] as they stand, where markup would swallow them

    console = Console()
    if not console.is_terminal:
        widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
        for row in (columns, *rows):
            cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
            typer.echo("  ".join(cells).rstrip())
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
