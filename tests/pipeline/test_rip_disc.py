import pytest

from pipeline.rip_disc import parse_robot_fields


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("65,128,65536", ["65", "128", "65536"]),
        ('5018,0,"Saving all titles"', ["5018", "0", "Saving all titles"]),
        ('1,2,999,12,"BD-RE","A, \\"B\\" \\\\ C",""', ["1", "2", "999", "12", "BD-RE", 'A, "B" \\ C', ""]),
        ("", []),
    ],
)
def test_robot_mode_fields_are_parsed(text, fields):
    assert parse_robot_fields(text) == fields
