"""A run from its beginning to its end: the parts, the folder, the trainer or tester, the results."""

from __future__ import annotations

import argparse
import errno
import logging
from pathlib import Path

import pluggy

from utils.errors import UserError
from utils.hooks import plugin_versions
from utils.observers import project_observers
from utils.registry import Registry
from utils.run.assemble import assemble
from utils.run.folder import RunFolder

#: A disk that is full, over its quota, read-only or broken.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


def execute(
    arguments: argparse.Namespace, registry: Registry, hooks: pluggy.PluginManager, root: Path, argv: list[str]
) -> int:
    """Train or test as the arguments say; returns the exit status 0.

    Raises `UserError` before anything is written where the parts do not fit together.
    """
    run = assemble(arguments, registry, hooks)
    kind, flag = ("testers", "test_scheme") if arguments.eval else ("trainers", "train_scheme")
    scheme = registry.find(kind, getattr(arguments, flag)).load()(run)
    run.folder = RunFolder(arguments.results_dir, arguments.run_name)
    try:
        run.folder.describe(root, argv, arguments, run.device, plugin_versions(hooks))
        to_file = logging.FileHandler(run.folder.output / "log.txt", encoding="utf-8")
    except OSError as error:
        run.folder.remove()
        raise UserError(f"--results_dir {arguments.results_dir}: {error.strerror or error}") from error
    to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    run.log.addHandler(to_file)
    for observer in project_observers(arguments):
        hooks.register(observer)
    try:
        run.hooks.run_started(run=run)
        for notice in run.notices:
            run.log.warning(notice)
        results = scheme.evaluate() if arguments.eval else scheme.train()
        run.hooks.run_finished(run=run, results={**results, "notices": run.notices})
    except BaseException as error:
        reason = f"ended by {type(error).__name__}: {error}"
        to_file.handle(logging.makeLogRecord({"msg": reason}))
        run.hooks.run_failed(run=run, error=error)
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise UserError(f"{run.folder.path} can no longer be written: {error.strerror}") from error
        raise
    finally:
        to_file.close()
    return 0
