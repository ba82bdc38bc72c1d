from __future__ import annotations

import pytest

from tests.cases.cases import check_case, fixed_cases, pytestmark

__all__ = ["pytestmark"]


@pytest.mark.parametrize("case", fixed_cases("remote"))
def test_every_fact_of_the_case_is_right(case: str):
    check_case(case)
