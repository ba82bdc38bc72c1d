from __future__ import annotations

from datetime import datetime, timedelta, timezone

from starlake_dagster_assets.project.files.environment import EnvFiles, choose_env, resolve_variables

NOW = datetime(2024, 3, 1, 12, 5, 9, 7_000, tzinfo=timezone.utc)


def resolve(maps, env=None, environ=None, options=None, now=NOW, root="/p"):
    return resolve_variables(root, env, EnvFiles(maps), environ or {}, options or {}, now)


def test_who_wins():
    maps = {"": {"a": "common", "b": "common", "SL_X": "file"}, "DEV": {"a": "dev"}}
    environ = {"SL_X": "os", "SL_Y": "os", "a": "ignored"}
    values = resolve(maps, "DEV", environ, {"b": "option"}).values
    assert (values["a"], values["b"], values["SL_X"], values["SL_Y"]) == ("dev", "option", "file", "os")


def test_values_use_what_comes_before():
    maps = {
        "": {"base": "${SL_ROOT}/in", "day": "{{sl_date}}", "other": "${base}"},
        "DEV": {"x": "${y}/${base}", "y": "${z}", "z": "end", "base": "${base}/dev"},
    }
    values = resolve(maps, "DEV").values
    assert values["base"] == "/p/in/dev"
    assert values["day"] == "20240301"
    assert values["other"] == "${base}"
    assert values["x"] == "end//p/in/dev"


def test_values_that_go_in_circles_end():
    assert "a" in resolve({"": {}, "E": {"a": "${b}x", "b": "${a}y"}}, "E").values
    assert len(resolve({"": {}, "E": {"a": "${b}" * 9, "b": "${a}" * 9}}, "E").values["a"]) < 10**7


def test_keys_of_other_environments_are_empty():
    assert resolve({"": {}, "DEV": {"a": "1"}, "PROD": {"b": "2"}}, "DEV").values["b"] == ""


def test_no_jinja_in_env_files():
    assert resolve({"": {"a": "{% if x %}{{ sl_date|upper }}"}}).values["a"] == "{% if x %}{{ sl_date|upper }}"


def test_clock():
    values = resolve({}).values
    assert values["sl_datetime"] == "20240301120509"
    assert values["sl_milli"] == "007"
    assert values["sl_epoch_milli"] == str(int(values["sl_epoch_second"]) * 1000 + 7)


def test_stable_values_know_neither_day_nor_machine():
    maps = {"": {"day": "${sl_date}", "place": "${SL_ROOT}/x", "plain": "1"}}
    one = resolve(maps, environ={"SL_JOB_ID": "1"}, options={"sl_start_date": "a"}).stable
    two = resolve(
        maps, environ={"SL_JOB_ID": "2"}, options={"sl_start_date": "b"}, now=NOW + timedelta(days=1), root="/q"
    ).stable
    assert one == two
    assert one["plain"] == "1"


def test_which_environment():
    files = EnvFiles({"": {"SL_ENV": "FILE"}, "A": {}})
    assert choose_env("ASKED", {"SL_ENV": "OS"}, files, "APP") == "ASKED"
    assert choose_env(None, {"SL_ENV": "OS"}, files, "APP") == "APP"
    assert choose_env(None, {"SL_ENV": "OS"}, files) == "OS"
    assert choose_env(None, {}, files) == "FILE"
    assert choose_env(None, {}, EnvFiles({})) is None
