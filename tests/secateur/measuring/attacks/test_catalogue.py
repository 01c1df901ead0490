import os

import pytest

from secateur.measuring.attacks.catalogue import EPSILONS, SUITE, check_attacks, find_attacks
from secateur.utils.errors import UserError


@pytest.mark.parametrize(
    ("name", "norm", "kind"),
    [
        ("CarliniWagner", None, "L2CarliniWagnerAttack"),  # the first eight are SNIP-it's
        ("LinfPGD", None, "LinfProjectedGradientDescentAttack"),
        ("L1FastGradient", None, "L1FastGradientAttack"),
        ("L2DeepFool", None, "L2DeepFoolAttack"),
        ("FGSM", None, "LinfFastGradientAttack"),
        ("DDN", None, "DDNAttack"),
        ("SaltAndPepper", None, "SaltAndPepperNoiseAttack"),
        ("L2RepeatedGaussian", None, "L2RepeatedAdditiveGaussianNoiseAttack"),
        ("l2-deep-fool-attack", None, "L2DeepFoolAttack"),
        ("DeepFool", "Linf", "LinfDeepFoolAttack"),
        ("DeepFool", None, "L2DeepFoolAttack"),
        ("PGD", None, "LinfProjectedGradientDescentAttack"),
        ("PGD", "L1", "L1ProjectedGradientDescentAttack"),
        ("FMN", "Linf", "LInfFMNAttack"),
        ("HopSkipJump", "Linf", "HopSkipJumpAttack"),
        ("GaussianBlur", "L1", "GaussianBlurAttack"),
    ],
)
def test_an_attack_is_found_by_its_name_and_norm(name, norm, kind):
    [attack] = find_attacks(name, norm, None)
    assert type(attack.engine).__name__ == kind
    assert norm in (None, attack.norm)


def test_the_step_of_a_gradient_attack_gets_it_across_the_ball():
    assert find_attacks("LinfPGD", None, None)[0].engine.rel_stepsize == 2.5 / 40
    assert find_attacks("L2PGD", None, 5)[0].engine.rel_stepsize == 0.5


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("CarliniWagner", {"binary_search_steps": 5, "steps": 200, "stepsize": 0.05, "initial_const": 0.1}),
        ("EAD", {"binary_search_steps": 5, "steps": 200, "initial_const": 0.1}),
        ("Boundary", {"steps": 1000}),
        ("HopSkipJump", {"steps": 20, "initial_num_evals": 50}),
        ("Gen", {"steps": 100}),
        ("LinearSearchBlendedUniformNoise", {"directions": 100, "steps": 100}),
        ("VirtualAdversarial", {"steps": 10}),
    ],
)
def test_the_numbers_of_steps_that_results_were_measured_by_stay(name, numbers):
    engine = find_attacks(name, None, None)[0].engine
    assert {key: getattr(engine, key) for key in numbers} == numbers


def test_all_is_a_suite_with_noise_of_both_norms():
    attacks = find_attacks("all", None, None)
    assert len(attacks) == len(SUITE)
    assert [attack.norm for attack in attacks if attack.is_noise] == ["Linf", "L2"]
    assert {attack.name for attack in attacks if attack.minimises} == {"L2DeepFool", "L2CarliniWagner", "HopSkipJump"}


def test_an_attack_asked_for_twice_runs_once():
    assert [attack.name for attack in find_attacks("FGSM,fgsm,DDN", None, None)] == ["FGSM", "DDN"]


@pytest.mark.parametrize(
    ("names", "norm", "steps", "message"),
    [
        ("FGSN", None, None, "no attack 'FGSN': did you mean FGSM"),
        ("FGSM,", None, None, "no attack ''"),
        ("L2BrendelBethge", None, None, "L2BrendelBethge cannot run: it takes the package numba"),
        ("BinarizationRefinement", None, None, "cannot run: it refines"),
        ("PGD", "L0", None, "--attack_norm L0: PGD comes as L1, L2, Linf"),
        ("HopSkipJump", "L1", None, "--attack_norm L1: HopSkipJump comes as L2, Linf"),
        ("FGSM", "L2", None, "--attack_norm L2: not the norm of FGSM"),
        ("FGSM", None, 5, "--attack_steps 5: FGSM takes no number of steps"),
    ],
)
def test_what_cannot_be_right_is_said_in_one_line(names, norm, steps, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        find_attacks(names, norm, steps)


def test_epsilons_double_five_times():
    assert EPSILONS == {
        "L0": (1, 2, 4, 8, 16, 32),
        "L1": (1, 2, 4, 8, 16, 32),
        "L2": (1 / 8, 1 / 4, 1 / 2, 1, 2, 4),
        "Linf": (2 / 255, 4 / 255, 8 / 255, 16 / 255, 32 / 255, 64 / 255),
    }


@pytest.mark.parametrize(
    ("names", "norm", "steps", "wanted"),
    [
        ("UniformNoise", None, None, [("LinfUniformNoise", "Linf")]),  # which comes in this norm alone
        ("AdditiveUniformNoise", None, None, [("L2AdditiveUniformNoise", "L2")]),
        ("CarliniWagner,FGSM", "Linf", None, [("L2CarliniWagner", "L2"), ("FGSM", "Linf")]),
        ("FGSM,PGD", None, 5, [("FGSM", "Linf"), ("LinfPGD", "Linf")]),
        ("Pointwise", "L0", None, [("Pointwise", "L0")]),
        ("Pointwise", None, None, [("Pointwise", "L2")]),
        ("GaussianBlur", "Linf", None, [("GaussianBlur", "Linf")]),
        ("HopSkipJump", None, None, [("HopSkipJump", "L2")]),
        ("LInfFMN", None, None, [("LInfFMN", "Linf")]),
    ],
)
def test_several_attacks_each_go_by_the_norm_that_they_have(names, norm, steps, wanted):
    assert [(attack.name, attack.norm) for attack in find_attacks(names, norm, steps)] == wanted


def test_which_attacks_turn_walk_aim_and_draw_noise():
    names = "Spatial,Boundary,HopSkipJump,Pointwise,Gen,L2GaussianNoise,L2RepeatedGaussian,FGSM"
    attacks = find_attacks(names, None, None)
    assert [attack.name for attack in attacks if attack.is_spatial] == ["Spatial"]
    assert [attack.name for attack in attacks if attack.walks] == ["Boundary", "HopSkipJump", "Pointwise"]
    assert [attack.name for attack in attacks if attack.is_targeted] == ["Gen"]
    assert [attack.name for attack in attacks if attack.is_noise] == ["L2GaussianNoise"]


def test_names_are_checked_before_anything_is_run():
    check_attacks("FGSM,DDN")
    with pytest.raises(UserError, match="no attack 'FGSN'"):
        check_attacks("FGSM,FGSN")


def test_foolbox_is_told_that_there_may_be_no_git(monkeypatch):
    monkeypatch.delenv("GIT_PYTHON_REFRESH", raising=False)
    find_attacks("FGSM", None, None)
    assert os.environ["GIT_PYTHON_REFRESH"] == "quiet"
