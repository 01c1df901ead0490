from secateur.utils.tables import Table


def test_a_row_is_shown_by_its_columns_and_their_forms():
    rows = [{"layer": "a", "kept": 1234567, "share": 0.5}, {"layer": "b", "times": 2.5, "share": "none", "on": True}]
    table = Table("layers", "the layers", rows, {"share": "{:.1%}", "layer": "{:>9}"})
    assert table.columns == ["layer", "kept", "share", "times", "on"]
    assert table.shown(rows[0]) == ["a", "1,234,567", "50.0%", "", ""]
    assert table.shown(rows[1]) == ["b", "", "none", "2.5", "True"]
