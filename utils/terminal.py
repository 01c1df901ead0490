"""The terminal that everything is shown on."""

from typing import NoReturn

from rich.console import Console


class Terminal(Console):
    """A rich console; where the output is no terminal but a file or a pipe, it is `width` columns wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if not self.is_terminal:
            self.width = width

    def on_broken_pipe(self) -> NoReturn:
        """Let main.py answer, instead of ending the program with status 1."""
        raise BrokenPipeError
