"""What strangers may put into a file."""

from pathlib import Path


class Bomb:
    """Unpickling this would make the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
