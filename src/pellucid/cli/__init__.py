"""The command line: `pellucid explain | regions | doctor`."""


def main() -> None:
    """Entry point of the `pellucid` command."""
    from .app import app

    app(prog_name="pellucid")
