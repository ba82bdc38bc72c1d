"""The runner for tests of other projects: a wrong argument is refused where it is given."""

import pytest

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.testing import FakeRunner, Script


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Script(error="boom"), "`error` is an exception that is raised; found 'boom'"),
        (lambda: Script("a line"), "`lines` is a list of lines; found the text 'a line'"),
        (lambda: FakeRunner({"load": ["a line"]}), "the script of `load` is a Script; found \\['a line'\\]"),
        (lambda: FakeRunner(lambda command: "boom").start(Command("load")), "the script of `load` is a Script"),
    ],
)
def test_a_wrong_script_is_refused(build, words):
    with pytest.raises(TypeError, match=words):
        build()
