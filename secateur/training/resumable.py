"""What a trainer keeps so that an interrupted run goes on as if nothing had happened."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import torch

from secateur.runs.checkpoint import write_state
from secateur.training.state_checks import check_like, check_names
from secateur.utils.errors import UserError, one_line, raised_at
from secateur.utils.stateful import Stateful, load_own


class Resumable(Stateful):
    """The part of a trainer that writes states and takes them up again.

    What changes from epoch to epoch a trainer keeps by `state_attrs`, or by `state_dict` and `load_state_dict`.
    """

    state_attrs = ("epoch", "cut_short", "training_flops", "seconds")

    #: When the state was written last, if it was, and with how many epochs and pruning steps done.
    saved: float | None = None
    saved_at = (0, 0)

    def save_state(self) -> None:
        """Write `last`, and the state that `--resume` goes on from: the first, then one each `--save_minutes`."""
        now, here = time.perf_counter(), (self.epoch, self.pruner.steps_done)
        is_due = self.saved is None or now - self.saved >= 60 * self.save_minutes
        if here == self.saved_at or not (is_due and self.run.is_main_process):
            return
        self.save("last", epoch=self.epoch)
        observers: dict[str, Any] = {}
        self.run.hooks.on_save_state(run=self.run, state=observers)
        state = {
            "epoch": self.epoch,
            "seconds": now - self.started,
            "trainer": self.state_dict(),
            "loss": self.loss.state_dict(),
            "notices": self.run.notices,
            "observers": observers,
            "random": random_state(self.run.device),
        }
        with self.run.report_write_errors():
            write_state(self.run.folder.state, state, epoch=self.epoch)
            self.saved, self.saved_at = time.perf_counter(), here

    def resume(self, state: dict[str, Any]) -> None:
        """Be as `save_state` has found this trainer and all that it works with.

        Raises `UserError` where the state, which is read from a file, is none of such a trainer.
        """
        try:
            check_like(state["trainer"], self.state_dict(), "trainer")
            check_like(state["loss"], self.loss.state_dict(), "loss")
            self._take_up(state)
        except UserError:
            raise
        except Exception as error:  # of whatever reads what the file says
            reason = f"{type(error).__name__}: {one_line(error)}{raised_at(error)}"
            raise UserError(f"--resume: the state of {self.run.folder.path} does not fit the run: {reason}") from error

    def _take_up(self, state: dict[str, Any]) -> None:
        if state["trainer"].get("epoch") != state["epoch"]:
            raise ValueError(f"it is of epoch {state['epoch']} and its trainer of another")
        self.started -= state["seconds"]
        self.load_state_dict(state["trainer"])
        self.saved, self.saved_at = time.perf_counter(), (state["epoch"], self.pruner.steps_done)
        self.loss.load_state_dict(state["loss"])
        self.run.notices[:] = dict.fromkeys([*state["notices"], *self.run.notices])
        self.run.hooks.run_resumed(run=self.run, state=state["observers"])
        set_random_state(state["random"], self.run.device)
        # The network and the optimizer have all of it by now: a second copy would stay to the end.
        self.run.resumed = {"epoch": state["epoch"], "seconds": state["seconds"]}

    def state_dict(self) -> dict[str, Any]:
        """Return what changes in training: counters, pruner, network, optimizer, learning rate, means."""
        return {
            **super().state_dict(),
            "pruner": self.pruner.state_dict(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {name: value for name, value in self.schedule.state_dict().items() if name != "lr_lambdas"},
            "schedule_began": self.schedule_began,
            "scaler": self.run.precision.scaler.state_dict(),
            "means": self.means.state_dict(),
            **({"best": self.best.state_dict()} if self.best else {}),
            **({"execution": self.run.executed.notes} if self.run.machine.execution != "dense" else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take all that up again, in a trainer that has just been made."""
        began = state["schedule_began"]
        self.pruner.step = began["step"]
        self.begin_schedule(began["at"])  # while all pruning steps are still to come
        super().load_state_dict({name: state[name] for name in super().state_dict()})
        self.pruner.load_state_dict(state["pruner"])
        load_own(self.network, state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.pruner.snapshot is not None:
            self.pruner.snapshot.check(self.network, self.optimizer)
        check_names({**state["schedule"], "lr_lambdas": [None]}, self.schedule.state_dict(), "schedule")
        self.schedule.load_state_dict({**state["schedule"], "lr_lambdas": [None]})
        self.run.precision.scaler.load_state_dict(state["scaler"])
        self.means.load_state_dict(state["means"])
        if self.best:
            self.best.load_state_dict(state["best"])
        if self.run.machine.execution != "dense":  # other ways would give other last bits
            self.run.executed.notes.update(state["execution"])


def random_state(device: torch.device) -> dict[str, Any]:
    """Return where the generators of Python, numpy and torch are, and that of `device`."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - for libraries that use the global generator
    return {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        device.type: _of_device(device),
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put the generators back; that of a device of another kind starts from its seed."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if (own := state.get(device.type)) is not None and device.type == "cuda":
        torch.cuda.set_rng_state(own.cpu(), device)
    elif own is not None and device.type == "mps":
        torch.mps.set_rng_state(own.cpu())


def _of_device(device: torch.device) -> torch.Tensor | None:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None
