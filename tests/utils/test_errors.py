"""Messages of one line."""

from secateur.utils.errors import LONGEST, UserError, one_line, shortened


def test_a_long_message_loses_its_middle_and_shows_it():
    assert shortened("a" * 10 + "b" * 10, 10) == "aaaaa ... bbbbb"
    assert shortened("a" * 10, 10) == "a" * 10
    assert (
        one_line(ValueError("first\n  second " + "x" * 300 + " last"), 40)
        == "first second xxxxxxx ... xxxxxxxxxxxxxxx last"
    )
    assert len(str(UserError("x" * 10 * LONGEST))) == LONGEST + len(" ... ")
