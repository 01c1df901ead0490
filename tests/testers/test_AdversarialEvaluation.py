import csv
import math

import pytest

from secateur.testers.AdversarialEvaluation import AdversarialEvaluation
from tests.commands import QUICK

PRUNED = f"--model LeNet300 --epochs 2 --prune_criterion SNIP --pruning_limit 0.8 --run_name masked {QUICK}"
SHRUNKEN = f"--model LeNet300 --epochs 2 --prune_criterion SNAPit --pruning_limit 0.5 --run_name shrunken {QUICK}"
COLUMNS = ["network", "attack", "norm", "epsilon", "images", "clean", "robust", "success", "median_norm"]


def robust(rows, network, attack):
    return [row["robust"] for row in rows if (row["network"], row["attack"]) == (network, attack)]


def test_masked_and_shrunken_networks_are_attacked_on_the_same_images(run):
    masked, shrunken = run(PRUNED), run(SHRUNKEN)
    names = f"{masked.folder.name},{shrunken.folder.name}"
    command = f"--eval --checkpoint_name {names} --attack FGSM,L2DeepFool,LinfUniformNoise --attack_samples 40 {QUICK}"
    outcome = run(command)
    assert outcome.status == 0, outcome.err
    results, rows = outcome.results, outcome.results["attacks"]
    assert (results["attack_samples"], results["interrupted"]) == (40, False)
    assert set(results["compared"]) == {"masked", "shrunken"}
    assert len(rows) == 2 * (6 + 7 + 6)
    for network in ("masked", "shrunken"):
        fgsm, deepfool, noise = (robust(rows, network, name) for name in ("FGSM", "L2DeepFool", "LinfUniformNoise"))
        assert deepfool == sorted(deepfool, reverse=True)
        assert deepfool[-1] < 0.1
        assert all(attacked <= control for attacked, control in zip(fgsm, noise, strict=True))
        assert fgsm[-1] < noise[-1]
    for row in rows:
        right, lost = row["clean"] * 40, (row["clean"] - row["robust"]) * 40
        assert row["success"] == pytest.approx(lost / right)
        assert (row["median_norm"] is None) == (row["attack"] != "L2DeepFool")
    written = list(csv.DictReader((outcome.folder / "output" / "attacks.csv").read_text().splitlines()))
    assert list(written[0]) == [*COLUMNS, "samples_per_s"]
    assert [float(row["robust"]) for row in written] == [row["robust"] for row in rows]
    assert "attacks on DIGITS" in outcome.out
    for picture in ("robustness.png", "adversarial.png"):
        assert (outcome.folder / "output" / picture).stat().st_size > 10_000
    again = run(command)
    assert [row["robust"] for row in again.results["attacks"]] == [row["robust"] for row in rows]


def test_the_command_of_the_reference(run):
    trained = run(f"--model MLP5 --epochs 1 --hidden_dim 32 {QUICK}")
    command = f"--eval --model MLP5 --data_set DIGITS --checkpoint_name {trained.folder.name} --hidden_dim 32 {QUICK}"
    outcome = run(
        f"{command} --checkpoint_model MLP5_finished --attack CarliniWagner --attack_samples 8 --attack_steps 60"
    )
    assert outcome.status == 0, outcome.err
    assert [row["epsilon"] for row in outcome.results["attacks"]] == [0.125, 0.25, 0.5, 1, 2, 4, None]  # inf
    assert {row["attack"] for row in outcome.results["attacks"]} == {"L2CarliniWagner"}
    assert outcome.results["attacks"][-1]["success"] == 1


def test_an_interruption_keeps_what_was_done(run, monkeypatch):
    trained = run(f"--model LeNet300 --epochs 1 {QUICK}")
    attack_batch = AdversarialEvaluation.attack_batch
    calls = []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == 7:  # of four batches an attack
            raise KeyboardInterrupt
        return attack_batch(self, *arguments)

    monkeypatch.setattr("secateur.testers.AdversarialEvaluation.AdversarialEvaluation.attack_batch", interrupted)
    where = f"--eval --checkpoint_name {trained.folder.name} {QUICK}"
    outcome = run(f"{where} --attack FGSM,FGM,DDN --attack_samples 40 --attack_epsilons 0,8/255")
    assert outcome.status == 130
    assert outcome.err == "interrupted\n"
    results = outcome.results
    assert results["interrupted"] is True
    done = [(row["attack"], row["epsilon"], row["images"]) for row in results["attacks"]]
    assert done == [("FGSM", 0, 40), ("FGSM", 8 / 255, 40), ("FGM", 0, 20), ("FGM", 8 / 255, 20)]
    assert results["attacks"][0]["robust"] == results["attacks"][0]["clean"]
    assert (outcome.folder / "output" / "robustness.png").exists()
    assert (outcome.folder / "output" / "attacks.csv").exists()


def test_an_attack_that_gives_up_is_left_out_and_said_so(run, monkeypatch):
    trained = run(f"--model LeNet300 --epochs 1 {QUICK}")

    def give_up(self, *arguments, **options):
        raise ValueError("no gradient")

    monkeypatch.setattr("foolbox.attacks.DDNAttack.run", give_up)
    outcome = run(
        f"--eval --checkpoint_name {trained.folder.name} --attack DDN,FGSM,Spatial --attack_samples 8 {QUICK}"
    )
    assert outcome.status == 0, outcome.err
    assert {row["attack"] for row in outcome.results["attacks"]} == {"FGSM", "Spatial"}
    assert "DDN on " in outcome.results["notices"][-1]
    assert "is left out, because it failed: ValueError no gradient" in outcome.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--attack FGSN", "no attack 'FGSN': did you mean FGSM"),
        ("--attack FGSM --attack_samples 361", "--attack_samples 361: there are 360 test images"),
        ("--attack FGSM --attack_epsilons 0.1,-1", "-1 is out of range: at least 0"),
        ("--attack FGSM --attack_epsilons 1/0", "'1/0' is not a number"),
        ("--attack FGSM --attack_norm L3", "'L3' is not one of L0, L1, L2, Linf"),
        ("--attack FGSM --test_scheme DefaultTester", "--attack is for the tester AdversarialEvaluation: leave"),
        ("--attack_epsilons 0.1", "--attack_epsilons is for the tester AdversarialEvaluation: give --attack too"),
        ("--test_scheme AdversarialEvaluation", "AdversarialEvaluation needs --attack"),
    ],
)
def test_what_cannot_be_right_is_said_in_one_line(run, tmp_path, flags, message):
    trained = run(f"--model LogisticRegression --epochs 0 {QUICK}")
    outcome = run(f"--eval --checkpoint_name {trained.folder.name} {flags}")
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.folder is None


def test_attacks_are_for_eval(run):
    outcome = run("--attack FGSM")
    assert outcome.status == 2
    assert outcome.err == "error: --attack is for --eval: name a finished run with --checkpoint_name\n"


def test_parameters_take_gradients_again(make_run, run):
    trained = run(f"--model LeNet300 --epochs 0 {QUICK}")
    evaluated = make_run(f"--eval --checkpoint_name {trained.folder} --attack FGSM --attack_samples 4")
    tester = AdversarialEvaluation(evaluated)
    tester.attack_networks()
    assert all(parameter.requires_grad for parameter in evaluated.network.parameters())
    assert math.isclose(tester.pixels.max(), 1, abs_tol=0.01)
