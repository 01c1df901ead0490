"""What pruning has left of each layer."""

from __future__ import annotations

from secateur.measuring.charts.layers import layer_sparsity, weights_of_layers
from secateur.measuring.layers import WHOLE, layer_figures, weight_histograms
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.tables import Table

FORMS = {"sparsity": "{:.2%}"}


class LayerReport(DefaultTester):
    """Sparsity, weights, FLOPs, kept outputs and weight histogram of each layer, of one network or of several.

    What is reported of a layer is of all that the dense network had of it, be it zero now or removed.
    """

    def evaluate(self) -> dict[str, object]:
        """Test the networks, then look at their layers."""
        run = self.run
        results = super().evaluate()
        layers = {label: layer_figures(compared) for label, compared in run.compared.items()}
        several = len(layers) > 1
        rows = [{"network": label, **row} if several else row for label, own in layers.items() for row in own]
        names = ", ".join(dict.fromkeys(compared.model_spec["model"] for compared in run.compared.values()))
        title = f"{names} on {results['data_set']}"
        run.hooks.table_created(run=run, table=Table("layers", f"{title}: layers", rows, FORMS))
        if several:
            sparsities: dict[str, dict[str, object]] = {}
            for label, own in layers.items():
                for row in own:
                    sparsities.setdefault(row["layer"], {"layer": row["layer"]})[label] = row["sparsity"]
            # The whole network comes last, also where a later one has layers of its own.
            ordered = sorted(sparsities.values(), key=lambda row: row["layer"] == WHOLE)
            forms = dict.fromkeys(layers, "{:.2%}")
            table = Table("layer_sparsity", f"{title}: sparsity of each layer", ordered, forms)
            run.hooks.table_created(run=run, table=table)
        kept = {label: {row["layer"]: 1 - row["sparsity"] for row in own[:-1]} for label, own in layers.items()}
        layer_sparsity(kept, title, run.folder.output / "layer_sparsity.png")
        weights_of_layers(weight_histograms(run.compared), title, run.folder.output / "layer_weights.png")
        return {**results, "layers": layers}
