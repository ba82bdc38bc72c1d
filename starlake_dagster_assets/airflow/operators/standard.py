"""Operators that Airflow 3 has in its standard provider."""

from __future__ import annotations

__all__ = ["EMPTY", "PYTHON", "PYTHON_SENSOR", "render_operator_import"]


def render_operator_import(module: str, name: str, former: str) -> str:
    """Returns an import of a name from the standard provider in Airflow 3, and from Airflow itself in Airflow 2."""
    return (
        f"try:\n    from airflow.providers.standard.{module} import {name}\n"
        f"except ImportError:  # Airflow 2\n    from airflow.{former} import {name}"
    )


EMPTY = render_operator_import("operators.empty", "EmptyOperator", "operators.empty")
PYTHON = render_operator_import("operators.python", "PythonOperator", "operators.python")
PYTHON_SENSOR = render_operator_import("sensors.python", "PythonSensor", "sensors.python")
