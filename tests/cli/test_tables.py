"""Tables line up."""

from isthmus.cli.tables import table


def test_columns_are_as_wide_as_their_widest_cell_and_lines_have_no_trailing_blanks():
    assert table(("A", "NAME"), [("long cell", "x"), ("y", "")]).splitlines() == [
        "A           NAME",
        "long cell   x",
        "y",
    ]
