"""The attacks of foolbox (Rauber et al., 2020) by name, and the settings they are given. Imports no torch itself."""

from __future__ import annotations

import inspect
import math
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secateur.utils.errors import UserError, nearest

#: The orders of the norms.
NORMS = {"L0": 0, "L1": 1, "L2": 2, "Linf": math.inf}
#: How far an image is changed where `--attack_epsilons` does not say: in pixel values from 0 to 1; of L0, in values.
EPSILONS = {
    "L0": (1, 2, 4, 8, 16, 32),
    "L1": (1, 2, 4, 8, 16, 32),
    "L2": (0.125, 0.25, 0.5, 1, 2, 4),
    "Linf": tuple(step / 255 for step in (2, 4, 8, 16, 32, 64)),
}
#: `--attack all`: of one gradient and of many, of the smallest change, of decisions alone, and noise to compare with.
SUITE = (
    "FGSM",
    "LinfPGD",
    "L2PGD",
    "L2DeepFool",
    "CarliniWagner",
    "HopSkipJump",
    "LinfUniformNoise",
    "L2GaussianNoise",
)
#: Further names: the first two are those of SNIP-it's program.
SHORT = {
    "SaltAndPepper": "SaltAndPepperNoiseAttack",
    "L2RepeatedGaussian": "L2RepeatedAdditiveGaussianNoiseAttack",
    "LinfUniformNoise": "LinfAdditiveUniformNoiseAttack",
    "L2GaussianNoise": "L2AdditiveGaussianNoiseAttack",
}
#: Settings that differ from foolbox's, most of which would take hours on a CPU. In so few steps CarliniWagner needs
#: larger ones: foolbox's 0.01 moves pixels that are all black or white too little.
SETTINGS = {
    "L2CarliniWagnerAttack": {"binary_search_steps": 5, "steps": 200, "stepsize": 0.05, "initial_const": 0.1},
    "EADAttack": {"binary_search_steps": 5, "steps": 200, "initial_const": 0.1},
    "BoundaryAttack": {"steps": 1000},
    "HopSkipJumpAttack": {"steps": 20, "initial_gradient_eval_steps": 50},
    "GenAttack": {"steps": 100},
    "LinearSearchBlendedUniformNoiseAttack": {"directions": 100, "steps": 100},
    "VirtualAdversarialAttack": {"steps": 10},
}
#: A step of a gradient attack is so many times epsilon divided by the steps, so that it gets across the ball
#: (Madry et al., 2018, section 5). With foolbox's 1/30 LinfPGD scores below FGSM.
REACH = 2.5
#: What cannot be given to these.
REFUSED = {
    "BrendelBethge": "it takes the package numba and minutes to compile; FMN, DDN and CarliniWagner look for the same",
    "BinarizationRefinement": "it refines attacks on networks that binarise their input, which none here does",
}


@dataclass(frozen=True)
class Attack:
    """An attack, ready to run."""

    name: str
    #: A key of `NORMS`.
    norm: str
    #: The object of foolbox.
    engine: Any

    @property
    def minimises(self) -> bool:
        """Whether it looks for the smallest change, in one run, instead of running once for each epsilon."""
        from foolbox.attacks.base import FixedEpsilonAttack

        return not isinstance(self.engine, FixedEpsilonAttack)

    @property
    def is_spatial(self) -> bool:
        """Whether it turns and shifts the image, which no epsilon bounds."""
        return type(self.engine).__name__ == "SpatialAttack"

    @property
    def walks(self) -> bool:
        """Whether it starts at an image of another class and walks towards the original."""
        return type(self.engine).__name__ in ("BoundaryAttack", "HopSkipJumpAttack", "PointwiseAttack")

    @property
    def is_targeted(self) -> bool:
        """Whether it must be told which class to aim at."""
        return type(self.engine).__name__ == "GenAttack"

    @property
    def is_noise(self) -> bool:
        """Whether it draws noise once: what an attack should do better than."""
        return bool(re.search(r"(?<!Repeated)Additive\w+Noise", type(self.engine).__name__))


def find_attacks(names: str, norm: str | None, steps: int | None) -> list[Attack]:
    """Return the attacks that `--attack`, names separated by commas or `all`, asks for.

    `norm` chooses the form of those whose name does not say it, `steps` replaces the number of steps of those that
    have one. Raises `UserError` with the nearest names where there is none of that name, with what is missing where
    it cannot run, and where `norm` or `steps` would change none of them.
    """
    wanted = SUITE if names.lower() == "all" else names.split(",")
    found = {attack.name: attack for attack in (_find(name, norm, steps) for name in wanted)}
    if norm and all(attack.norm != norm for attack in found.values()):
        raise UserError(f"--attack_norm {norm}: not the norm of {', '.join(found)}: leave it out")
    if steps and not any("steps" in _taken_by(type(attack.engine)) for attack in found.values()):
        raise UserError(f"--attack_steps {steps}: {', '.join(found)} takes no number of steps: leave it out")
    return list(found.values())


def check_attacks(names: str) -> None:
    """Raise `UserError` where one of the names of `--attack` is of no attack, or of one that cannot run."""
    find_attacks(names, None, None)


def _find(name: str, norm: str | None, steps: int | None) -> Attack:
    known = _known()
    spelled = next((spelling for spelling in known if _folded(spelling) == _folded(name)), None)
    forms = _families(known).get(_folded(name), {})
    if not (spelled or forms):
        raise UserError(f"--attack: foolbox has no attack '{name}'{nearest(name, ['all', *known])}")
    for part, reason in REFUSED.items():
        if _folded(part) in _folded(name):
            raise UserError(f"--attack {name} cannot run: {reason}")
    if forms:
        usual = (_norm_in(known[spelled].__name__) if spelled else "L2") if len(forms) > 1 else next(iter(forms))
        chosen = norm if norm and len(forms) > 1 else usual
        if chosen not in forms:
            raise UserError(f"--attack_norm {norm}: {name} comes as {', '.join(forms)}")
        spelled = forms[chosen]
    return _built(spelled, known[spelled], norm, steps)


def _known() -> dict[str, type]:
    """Every name that says which attack is meant, with and without `Attack` at its end: name -> class."""
    # foolbox imports git, which fails where the program git is not installed; and a name that SciPy has deprecated.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from foolbox import attacks
    known = {
        spelling: kind
        for name, kind in vars(attacks).items()
        if isinstance(kind, type) and issubclass(kind, attacks.Attack) and not inspect.isabstract(kind)
        for spelling in (name, name.removesuffix("Attack"))
    }
    return known | {short: known[name] for short, name in SHORT.items()}


def _families(known: dict[str, type]) -> dict[str, dict[str, str]]:
    """The attacks whose name begins with a norm: folded name without it -> norm -> name."""
    families: dict[str, dict[str, str]] = {}
    for spelling in known:
        if norm := _norm_in(spelling):
            rest = re.sub(r"^(L\d|Linfinity|Linf)", "", spelling, flags=re.IGNORECASE)
            families.setdefault(_folded(rest), {})[norm] = spelling
    return families


def _norm_in(name: str) -> str | None:
    """The norm that a name begins with."""
    return next((norm for norm in NORMS if name.lower().startswith(norm.lower())), None)


def _built(name: str, kind: type, norm: str | None, steps: int | None) -> Attack:
    """Make an attack with its settings."""
    from foolbox.distances import LpDistance

    takes = _taken_by(kind)
    options = dict(SETTINGS.get(kind.__name__, {}))
    if steps and "steps" in takes:
        options["steps"] = steps
    if "rel_stepsize" in takes:
        options["rel_stepsize"] = REACH / options.get("steps", takes["steps"].default)
    if "distance" in takes:
        options["distance"] = LpDistance(NORMS[norm or "L2"])
    if "constraint" in takes:
        if norm not in (None, "L2", "Linf"):
            raise UserError(f"--attack_norm {norm}: {name} comes as L2, Linf")
        options["constraint"] = (norm or "L2").lower()
    engine = kind(**options)
    order = getattr(getattr(engine, "distance", None), "p", None) if kind.__name__ != "PointwiseAttack" else None
    own = next((norm for norm, known in NORMS.items() if known == order), norm or "L2")
    return Attack(name, own, engine)


def _taken_by(kind: type) -> Mapping[str, inspect.Parameter]:
    """The settings that an attack takes."""
    return inspect.signature(kind.__init__).parameters


def _folded(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
