"""Whether a network knows what it does not know."""

from secateur.config.option import option
from secateur.measuring.calibration import calibrate
from secateur.measuring.charts.calibration import reliability
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.tables import Table

FORMS = {
    "accuracy": "{:.2%}",
    "confidence": "{:.2%}",
    "expected_error": "{:.2%}",
    "maximum_error": "{:.2%}",
    "nll": "{:.4f}",
    "brier": "{:.4f}",
}


class Calibration(DefaultTester):
    """Calibration errors and reliability diagrams (Guo et al., 2017, "On Calibration of Modern Neural Networks").

    A network is calibrated if of the images that it is 80 % sure of 80 % are right. Images go by their confidence into
    bins of equal width; the expected calibration error is the mean over all images of their bin's |accuracy -
    confidence|, the maximum calibration error the largest of a bin. The negative log-likelihood and the Brier score
    score all probabilities, not that of the named class alone.
    """

    calibration_bins: int = option(15, "number of bins of the confidence", low=1, high=1000)

    def evaluate(self) -> dict[str, object]:
        """Measure each network, tabulate and draw; adds `calibration` to the results, by network."""
        run, bins = self.run, self.calibration_bins
        results = super().evaluate()
        measured = {
            label: calibrate(one.executed, run.data.held_out, bins, run.precision.autocast)
            for label, one in run.compared.items()
        }
        title = f"calibration on {results['data_set']}, {len(run.data.held_out.images):,} images, {bins} bins"
        table = [{"network": label, **found.figures} for label, found in measured.items()]
        run.hooks.table_created(run=run, table=Table("calibration", title, table, FORMS))
        reliability(measured, title, run.folder.output / "calibration.png")
        figures = {label: {**found.figures, "bins": found.by_bin} for label, found in measured.items()}
        return {**results, "calibration": figures}
