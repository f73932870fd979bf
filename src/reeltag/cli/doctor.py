"""`reeltag doctor`: what works on this machine, and what to install for the rest."""

from __future__ import annotations

import typer

from reeltag.cli.show import print_json, print_table


def command(json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Check Python, libraries, threads, accelerators and extractors; says how to mend each."""
    from reeltag.experiments.doctor import checks

    found = checks()
    if json:
        print_json({"checks": [vars(check) for check in found]})
        return
    print_table("Doctor", ["what", "ok", "note"], [[c.what, c.ok, c.note] for c in found])
