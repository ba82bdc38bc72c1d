"""Values for which an expression fails cost their row, and private values are in no message."""

from pathlib import Path

import pytest

from starlake_dagster_assets.engine.reading.privacy import shown_error
from starlake_dagster_assets.errors import EngineError
from tests.engine.reading.factory import Read, attribute, project, table, written

CAST = "cast(cast(mail as int) as varchar)"
FAILING = {
    "privacy": (table(attribute("id", "int"), attribute("mail", privacy=f"SQL: {CAST}")), "`mail`: its privacy fails"),
    "script": (table(attribute("id", "int"), attribute("mail"), attribute("n", "int", script=CAST)), "`n`: its script"),
    "filter": (table(attribute("id", "int"), attribute("mail"), filter="cast(mail as int) > 0"), "the filter fails"),
    "two scripts": (
        table(
            attribute("id", "int"),
            attribute("mail"),
            attribute("n", "int", script=CAST),
            attribute("m", "int", script="n + id"),
        ),
        "`n`: its script",
    ),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_value_for_which_an_expression_fails_costs_its_row(tmp_path: Path, case: str) -> None:
    target, reason = FAILING[case]
    read = Read(target, written(tmp_path / "f.csv", "id,mail\n1,7\n2,SECRET\n3,8\n4,\n"))
    accepted = [1, 3] if case == "filter" else [1, 3, 4]
    assert [row[0] for row in read.rows] == accepted
    assert len(read.reasons) == 1 and read.reasons[0].startswith(reason)
    assert read.errors[0].endswith(f"FILE -> {tmp_path / 'f.csv'}") and "SECRET" not in read.errors[0]


def test_an_expression_that_cannot_be_tried_fails_the_file_without_its_value(tmp_path: Path) -> None:
    sql = "SQL: cast(cast(mail as int) + floor(random() / 2) as varchar)"
    file = written(tmp_path / "f.csv", "id,mail\n1,SECRET\n")
    with pytest.raises(EngineError, match="a script, privacy or filter expression failed: Conversion error") as raised:
        Read(table(attribute("id", "int"), attribute("mail", privacy=sql)), file)
    assert "SECRET" not in str(raised.value)


def test_reasons_have_no_private_values(tmp_path: Path) -> None:
    person = attribute("o", "struct", attributes=(attribute("n", "int", privacy="md5"), attribute("m", "int")))
    target = table(attribute("id", "int"), attribute("ssn", "int", privacy="md5"), person, format="JSON")
    lines = [
        '{"id":"shown","ssn":1}',
        '{"id":1,"ssn":"SECRET"}',
        '{"id":1,"ssn":["SECRET"]}',
        '{"id":1,"o":{"n":"SECRET","m":"shown"}}',
        '{"id":1,"o":["SECRET"]}',
    ]
    file = written(tmp_path / "f.json", "\n".join(lines))
    errors = "\n".join(Read(target, file, within=project(reject_with_value=True)).errors)
    assert ("SECRET" in errors, errors.count("shown")) == (False, 2)


def test_errors_of_tables_without_privacy_are_complete() -> None:
    error = ValueError("all of it")
    assert shown_error(error, table(attribute("id", "int", privacy="md5"))) == "all of it"
