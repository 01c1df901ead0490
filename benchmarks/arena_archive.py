"""The runs of the arena in one small file, docs/arena/runs.tar.xz: what a report reads of each.

    python3 benchmarks/arena_archive.py gitignored/results

packs the folders grid_arena_* below gitignored/results, without the machine's name and paths; the same bytes each time.
"""

import io
import json
import lzma
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from secateur.runs.files import read_checksummed

ARCHIVE = ROOT / "docs" / "arena" / "runs.tar.xz"
#: Of a run's environment, what says nothing about its numbers.
OF_THE_MACHINE = ("host", "process", "platform")
#: Of a finished network, what a report asks for.
OF_THE_NETWORK = ("input_shape", "num_classes")


def pack(results: Path, archive: Path = ARCHIVE) -> int:
    """Write the archive of the arena's grids below `results`; returns how many runs it holds."""
    files = dict(sorted(_files(results)))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    return sum(name.endswith("/results.json") for name in files)


def unpack(folder: Path, archive: Path = ARCHIVE) -> None:
    """Lay the runs of the archive out below a folder, as grids have them."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def _files(results: Path) -> Iterator[tuple[str, bytes]]:
    for grid in sorted(results.glob("grid_arena_*")):
        for output in sorted(grid.glob("*/output")):
            if (output / "results.json").exists():
                for name, content in _of_run(output, results):
                    yield f"{grid.name}/{output.parent.name}/{name}", content


def _of_run(output: Path, results: Path) -> Iterator[tuple[str, bytes]]:
    """The files of one run, paths of this machine replaced by those of a checkout."""
    settings = read_checksummed(output / "arguments.json")
    places = {str(results.resolve()): "gitignored/results"}
    if settings.get("data_dir"):
        places[settings["data_dir"]] = "gitignored/data"

    def plain(text: str) -> bytes:
        for place, instead in places.items():
            text = text.replace(place, instead)
        return text.encode()

    def as_json(content: dict[str, Any]) -> bytes:
        return plain(json.dumps(content, indent=1) + "\n")

    environment = read_checksummed(output / "environment.json")
    finished = next(iter(sorted(output.parent.glob("models/*_finished.json"))), None)
    yield "output/arguments.json", as_json(settings)
    yield "output/environment.json", as_json({k: v for k, v in environment.items() if k not in OF_THE_MACHINE})
    yield "output/results.json", as_json(read_checksummed(output / "results.json"))
    yield "output/metrics.csv", (output / "metrics.csv").read_bytes()
    command = (output / "calling_command.txt").read_text(encoding="utf-8").partition("\n")[0]
    yield "output/calling_command.txt", plain(command + "\n")
    if finished:
        network = read_checksummed(finished)
        yield f"models/{finished.name}", as_json({name: network[name] for name in OF_THE_NETWORK})


if __name__ == "__main__":
    count = pack(Path(sys.argv[1]))
    sys.stdout.write(f"{ARCHIVE.relative_to(ROOT)}: {count} runs, {ARCHIVE.stat().st_size:,} bytes\n")
