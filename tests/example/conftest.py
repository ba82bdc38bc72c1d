"""A copy of the example project, its modules, and what its files say, read with nothing but Python."""

import csv
import hashlib
import importlib.util
import json
import re
import shutil
import warnings
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets._compat import suppress_dagster_warnings

EXAMPLE = Path(__file__).parents[2] / "example_project"
DATE = re.compile(r"\d{4}-\d\d-\d\d")
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def load_module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CUSTOMERS = """
    select customer_id, full_name, email, lower(phone), city, loyalty_tier, birth_date from starbake.Customers
"""
ORDERS = """
    select order_id, customer_id, status, updated_at, order_date, len(lines), delivery.mode from starbake.Orders
"""


@dataclass
class Truth:
    """What the warehouse must hold after some days, from the delivered files alone."""

    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    customers: dict[int, dict[str, Any]] = field(default_factory=dict)
    products: dict[str, dict[str, Any]] = field(default_factory=dict)
    costs: dict[str, Decimal] = field(default_factory=dict)
    shops: dict[str, str] = field(default_factory=dict)
    versions: dict[str, list[Decimal]] = field(default_factory=dict)
    counts: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """File name to rows found, accepted, rejected; of the last day."""

    def add_day(self, directory: Path) -> None:
        self.counts = {}
        self._customers(next(directory.glob("starbake/customers_*")))
        for file in sorted(directory.glob("starbake/orders_*")):
            self._orders(file)
        self._products(next(directory.glob("starbake/products_*")))
        self._ingredients(next(directory.glob("starbake/ingredients_*")))
        self._shops(next(directory.glob("network/*.psv")))

    def _count(self, file: Path, found: int, accepted: int) -> None:
        self.counts[file.name] = (found, accepted, found - accepted)

    def _customers(self, file: Path) -> None:
        with file.open(encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text, delimiter=";"))
        good = [
            row
            for row in rows
            if row["id"]
            and "@" in row["email"]
            and DATE.fullmatch(row["birth_date"])
            and DATE.fullmatch(row["signed_up_on"])
        ]
        self.customers.update({int(row["id"]): row for row in good})
        self._count(file, len(rows), len(good))

    def _orders(self, file: Path) -> None:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        good = [row for row in rows if row["order_id"] and TIME.fullmatch(row["ordered_at"])]
        for row in good:
            known = self.orders.get(row["order_id"])
            if known is None or known["updated_at"] < row["updated_at"]:
                self.orders[row["order_id"]] = row
        self._count(file, len(rows), len(good))

    def _products(self, file: Path) -> None:
        rows = json.loads(file.read_text(encoding="utf-8"))
        self.products = {row["product_id"]: row for row in rows}
        for row in rows:
            prices = self.versions.setdefault(row["product_id"], [])
            if not prices or prices[-1] != Decimal(str(row["price"])):
                prices.append(Decimal(str(row["price"])))
        self._count(file, len(rows), len(rows))

    def _ingredients(self, file: Path) -> None:
        lines = file.read_text(encoding="utf-8").splitlines()
        self.costs = {line[:6]: Decimal(line[33:41].strip()) for line in lines if "n/a" not in line}
        self._count(file, len(lines), len(self.costs))

    def _shops(self, file: Path) -> None:
        header, *rows = file.read_text(encoding="utf-8").splitlines()
        assert header.startswith("cd_store|lb_store|")
        self.shops = {row.split("|")[0]: row.split("|")[1] for row in rows}
        self._count(file, len(rows), len(rows))

    # -------------------------------------------------------------------------------- what follows from it

    def customer_rows(self) -> set[tuple[Any, ...]]:
        return {
            (
                number,
                f"{row['first_name']} {row['last_name']}",
                f"***@{row['email'].split('@')[1]}",
                hashlib.md5(row["phone"].encode(), usedforsecurity=False).hexdigest(),
                row["city"],
                row["loyalty_tier"] or "standard",
                date.fromisoformat(row["birth_date"]),
            )
            for number, row in self.customers.items()
        }

    def order_rows(self) -> set[tuple[Any, ...]]:
        return {
            (
                row["order_id"],
                row["customer_id"],
                row["status"],
                datetime.fromisoformat(row["updated_at"]),
                date.fromisoformat(row["ordered_at"][:10]),
                len(row["lines"]),
                row.get("delivery", {}).get("mode"),
            )
            for row in self.orders.values()
        }

    def sales(self) -> list[tuple[dict[str, Any], dict[str, Any], Decimal]]:
        """Order, line and amount of all that was not cancelled."""
        return [
            (order, line, Decimal(str(line["unit_price"])) * line["quantity"])
            for order in self.orders.values()
            if order["status"] != "cancelled"
            for line in order["lines"]
        ]

    def revenue_by(self, key: Any) -> dict[Any, Decimal]:
        """Euros by what `key(order, line)` says."""
        totals: dict[Any, Decimal] = {}
        for order, line, amount in self.sales():
            name = key(order, line)
            totals[name] = totals.get(name, Decimal(0)) + amount
        return totals

    def unit_cost(self, product: str) -> Decimal:
        recipe = self.products[product]["recipe"]
        exact = sum(self.costs[item["ingredient_code"]] * item["grams"] for item in recipe) / 1000
        return Decimal(exact)

    def orders_without_customer(self) -> set[str]:
        return {
            order["order_id"]
            for order in self.orders.values()
            if order["customer_id"] is not None and order["customer_id"] not in self.customers
        }

    def tables(self) -> dict[str, set[tuple[Any, ...]]]:
        """The rows of every table, by the query that selects them."""
        by_day = self.revenue_by(lambda order, line: (order["ordered_at"][:10], order["shop_id"]))
        by_product = self.revenue_by(lambda order, line: line["product_id"])
        spent = self.revenue_by(lambda order, line: order["customer_id"])
        lines = {
            (order["order_id"], line["product_id"], line["quantity"], Decimal(str(line["unit_price"])))
            for order in self.orders.values()
            for line in order["lines"]
        }
        newest = {name: prices[-1] for name, prices in self.versions.items()}
        return {
            CUSTOMERS: self.customer_rows(),
            ORDERS: self.order_rows(),
            "select product_id, price from starbake.Products": {
                (name, Decimal(str(row["price"]))) for name, row in self.products.items()
            },
            "select ingredient_code, unit_cost from starbake.Ingredients": set(self.costs.items()),
            "select shop_id, shop_name from reference.Shops": set(self.shops.items()),
            "select order_id, product_id, quantity, unit_price from kpi.order_lines": lines,
            "select order_date::varchar, shop_id, revenue from kpi.daily_revenue": {
                (*key, amount) for key, amount in by_day.items()
            },
            "select order_date::varchar, shop_id, revenue from kpi.shop_ranking": {
                (*key, amount) for key, amount in by_day.items()
            },
            "select product_id, revenue from kpi.revenue_by_product": {
                (name, by_product.get(name, 0)) for name in self.products
            },
            "select distinct category from kpi.top_products": {(row["category"],) for row in self.products.values()},
            "select customer_id, lifetime_value from Customers.CustomerLifeTimeValue": {
                (number, spent.get(number, 0)) for number in self.customers
            },
            "select customer_id from Customers.HighValueCustomers": {
                (number,) for number in self.customers if spent.get(number, 0) >= 60
            },
            "select order_id from Customers.OrdersWithoutCustomer": {
                (number,) for number in self.orders_without_customer()
            },
            "select product_id, price from Products.PriceHistory where valid_to is null": set(newest.items()),
            "select product_id, unit_cost from Products.ProductCost": {
                (name, self.unit_cost(name).quantize(Decimal("0.01"), ROUND_HALF_UP)) for name in self.products
            },
        }


class Daemon:
    """Ticks every sensor in turn and runs what is asked for, as the real one does."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.defs, self.repository, self.instance = defs, defs.get_repository_def(), instance
        self.conditions: Any = None
        self.cursors: dict[str, str | None] = {}
        self.runs: list[tuple[str, list[str]]] = []

    def rest(self) -> list[tuple[str, list[str]]]:
        """Rounds until nothing is asked for; what each run has materialized since."""
        before = len(self.runs)
        while self.round():
            pass
        return self.runs[before:]

    def round(self) -> bool:
        """One tick of each sensor; whether something was materialized."""
        before = len(self.runs)
        for sensor in sorted(self.repository.sensor_defs, key=lambda one: one.name):
            if isinstance(sensor, dg.AutomationConditionSensorDefinition):
                continue
            cursor, name = self.cursors.get(sensor.name), sensor.name
            context = dg.build_sensor_context(self.instance, cursor, repository_def=self.repository, sensor_name=name)
            with suppress_dagster_warnings():  # names of Dagster's own that 1.9 marks as experimental
                result = sensor.evaluate_tick(context)
            self.cursors[name] = result.cursor
            for request in result.run_requests or ():
                self._run(sensor, request)
        self._evaluate_conditions()
        return len(self.runs) > before

    def _evaluate_conditions(self) -> None:
        sensor = self.repository.get_sensor_def("own_assets_conditions")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a parameter of Dagster's own that is beta
            found = dg.evaluate_automation_conditions(self.defs, instance=self.instance, cursor=self.conditions)
        self.conditions = found.cursor
        if keys := [one.key for one in found.results if not one.true_subset.is_empty]:
            self._run(sensor, dg.RunRequest(asset_selection=keys, job_name="__ASSET_JOB"))

    def _run(self, sensor: dg.SensorDefinition, request: dg.RunRequest) -> None:
        tags = {**request.tags, "dagster/run_key": request.run_key or "", "dagster/sensor_name": sensor.name}
        assets, checks = request.asset_selection, request.asset_check_keys
        job = self.repository.get_job(request.job_name or sensor.job_name)
        if assets is not None or checks is not None:  # checks alone, as the sensor of freshness asks for, are no assets
            chosen = None if checks is None else set(checks)
            job = job.get_subset(asset_selection=set(assets or ()), asset_check_selection=chosen)
        done = job.execute_in_process(instance=self.instance, tags=tags)
        made = [event.asset_key.to_user_string() for event in done.get_asset_materialization_events()]
        if made:
            self.runs.append((sensor.name, sorted(made)))


@pytest.fixture(scope="session")
def example() -> Path:
    """The example as it is in the repository; not to be written to."""
    return EXAMPLE


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to run, without what an earlier run left in the repository's."""
    target = tmp_path_factory.mktemp("example") / "example_project"
    shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns("datasets", "__pycache__"))
    return target


@pytest.fixture(scope="session")
def truth_of() -> Any:
    """Makes the truth after some days: `truth_of("1", "2")`."""

    def make(*days: str) -> Truth:
        truth = Truth()
        for day in days:
            truth.add_day(EXAMPLE / "deliveries" / f"day{day}")
        return truth

    return make


@pytest.fixture(scope="session")
def module_of() -> Any:
    """Imports a file of the example as a module of its own."""
    return load_module
