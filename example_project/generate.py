"""Writes the files that Starbake's systems deliver: `deliveries/day1` and `deliveries/day2`.

Always the same bytes: a seeded `random()` (stable across Python versions), integer cents, no clock.
The files are committed; run this only after changing it: `python example_project/generate.py`.
"""

import argparse
import csv
import io
import json
import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["generate", "main"]

SEED = 20250303
MONDAY = date(2025, 3, 3)
"""Day 1 brings the week from here on, day 2 the Monday after it."""

T = TypeVar("T")
Row = dict[str, Any]
Files = dict[str, str]

FIRST_NAMES = [
    "Zoé",
    "Hélène",
    "Jérôme",
    "Noël",
    "Anaïs",
    "François",
    "Chloé",
    "Théo",
    "Maëlle",
    "Loïc",
    "Inès",
    "Gaëtan",
    "Élodie",
    "Björn",
    "Siân",
    "Łukasz",
]
LAST_NAMES = [
    "Lefèvre",
    "Müller",
    "Garçon",
    "Nuñez",
    "Bézier",
    "O'Brien",
    "Dupré",
    "Château",
    "Strauß",
    "Øster",
    "Hébert",
    "Benoît",
    "Rossi",
    "Çelik",
]
CITIES = ["Paris", "Lyon", "Orléans", "Nîmes", "Saint-Étienne", "Besançon"]
TIERS = ["", "", "silver", "gold"]

SHOPS = [  # code, name, city, country, opened
    ("PAR01", "Starbake Bastille 🥖", "Paris", "FR", "2019-04-01"),
    ("PAR02", "Starbake Opéra", "Paris", "FR", "2021-09-15"),
    ("LYO01", "Starbake Bellecour", "Lyon", "FR", "2020-02-29"),
    ("NIM01", "Starbake Les Arènes", "Nîmes", "FR", "2023-06-10"),
    ("BSL01", "Starbake Barfüsserplatz", "Basel", "CH", "2024-11-02"),
]

INGREDIENTS = [  # code, name, unit, cost of a kilogram or litre in cents, supplier
    ("FLR001", "Farine de blé T65", "kg", 115, "Moulins du Rhône"),
    ("FLR002", "Farine de seigle", "kg", 148, "Moulins du Rhône"),
    ("BUT001", "Beurre AOP Charentes", "kg", 895, "Laiterie Échiré"),
    ("SUG001", "Sucre blond", "kg", 132, "Sucrerie du Nord"),
    ("EGG001", "Œufs plein air", "kg", 410, "Ferme des Étangs"),
    ("MLK001", "Lait entier", "l", 98, "Laiterie Échiré"),
    ("CRM001", "Crème fraîche", "l", 375, "Laiterie Échiré"),
    ("CHO001", "Chocolat noir 70%", "kg", 1120, "Cacao Perú"),
    ("ALM001", "Poudre d'amande", "kg", 1260, "Amandes & Cie"),
    ("APL001", "Pommes reinette", "kg", 240, "Vergers d'Île"),
    ("LEM001", "Citrons de Menton", "kg", 520, "Vergers d'Île"),
    ("YST001", "Levain naturel", "kg", 310, "Moulins du Rhône"),
    ("SLT001", "Sel de Guérande", "kg", 290, "Salines Ouest"),
    ("COF001", "Café arabica ☕", "kg", 1890, "Torréfaction Luna"),
]

PRODUCTS = [  # id, name, category, price in cents, vegan, allergens, recipe in grams of each ingredient
    ("P01", "Baguette tradition 🥖", "bread", 130, True, "gluten", "FLR001:250 YST001:20 SLT001:5"),
    ("P02", "Pain de seigle", "bread", 420, True, "gluten", "FLR002:500 YST001:60 SLT001:9"),
    ("P03", "Brioche à tête", "bread", 290, False, "gluten egg milk", "FLR001:90 BUT001:45 EGG001:50 SUG001:12"),
    ("P04", "Croissant au beurre 🥐", "pastry", 140, False, "gluten milk", "FLR001:45 BUT001:25 SUG001:5 MLK001:12"),
    ("P05", "Pain au chocolat", "pastry", 160, False, "gluten milk", "FLR001:45 BUT001:25 CHO001:12 MLK001:12"),
    ("P06", "Chausson aux pommes", "pastry", 230, False, "gluten milk", "FLR001:50 BUT001:28 APL001:80 SUG001:10"),
    ("P07", "Éclair au café", "pastry", 350, False, "gluten egg milk", "FLR001:25 EGG001:40 CRM001:60 COF001:4"),
    ("P08", "Tarte au citron 🍋", "cake", 480, False, "gluten egg milk", "FLR001:60 BUT001:35 LEM001:70 EGG001:45"),
    ("P09", "Fondant au chocolat", "cake", 450, False, "egg milk nuts", "CHO001:60 BUT001:40 EGG001:50 ALM001:20"),
    ("P10", "Frangipane", "cake", 520, False, "gluten egg milk nuts", "ALM001:60 BUT001:40 SUG001:40 EGG001:40"),
    ("P11", "Café crème", "drink", 310, False, "milk", "COF001:9 MLK001:80"),
    ("P12", "Expresso", "drink", 180, True, "", "COF001:8"),
]
NEW_PRODUCT = ("P13", "Cookie vegan 🍪", "pastry", 260, True, "gluten nuts", "FLR001:40 SUG001:25 CHO001:20 ALM001:8")
NEW_PRICES = {"P01": 135, "P08": 495, "P11": 330}


class Dice:
    """Choices made from `random()` alone, whose sequence Python guarantees for a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1."""
        return int(self._random() * limit)

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]


def generate() -> Files:
    """The text of every delivered file, by its path below `deliveries`."""
    dice = Dice(SEED)
    customers = [_customer(dice, number) for number in range(1, 41)]
    week = [order for day in range(7) for order in _orders_of(dice, MONDAY + timedelta(days=day), 16)]
    files: Files = {}
    files.update(_day1(customers, week))
    files.update(_day2(dice, customers, week))
    return files


def _day1(customers: list[Row], week: list[Row]) -> Files:
    bad = [
        {**customers[11], "birth_date": "12/07/1990"},  # not the format agreed on
        {**customers[25], "id": ""},  # no key
        {**customers[32], "email": "pas d'adresse"},  # not an address
    ]
    refused = {11: bad[0], 25: bad[1], 32: bad[2]}
    rows = [refused.get(position, customer) for position, customer in enumerate(customers)]
    return {
        "day1/starbake/customers_20250309.csv": _dsv(rows, ";"),
        "day1/starbake/ingredients_20250309.txt": _fixed([*INGREDIENTS, ("SAF001", "Safran", "kg", None, "?")]),
        "day1/starbake/orders_20250306_2200.json": _lines(week[:64]),
        "day1/starbake/orders_20250309_2200.json": _lines(week[64:]),
        "day1/starbake/products_20250309.json": _array([_product(item, "2025-03-01 04:00:00") for item in PRODUCTS]),
        "day1/network/stores_20250309.psv": _dsv([_shop(shop) for shop in SHOPS[:4]], "|"),
        "day1/network/stores_20250309.ack": "",
    }


def _day2(dice: Dice, customers: list[Row], week: list[Row]) -> Files:
    monday = MONDAY + timedelta(days=7)
    new = _orders_of(dice, monday, 24)
    settled = [
        _changed(order, "cancelled" if n % 5 == 4 else "delivered", monday) for n, order in enumerate(week[-12:])
    ]
    corrected = {**new[12], "status": "cancelled", "updated_at": f"{monday} 12:59:00"}
    nameless = {**new[3], "order_id": None}
    unreadable = {**new[5], "order_id": "O-00999", "ordered_at": "10/03/2025 08h15"}
    moved = [
        {**customers[n], "city": city, "loyalty_tier": "gold", "updated_at": f"{monday} 07:30:00"}
        for n, city in ((1, "Besançon"), (6, "Lyon"), (18, 'Paris "rive gauche"'), (30, "Nîmes; Les Halles"))
    ]
    joined = [_customer(dice, number) for number in range(41, 45)]
    joined[3] = {**joined[3], "signed_up_on": "yesterday"}
    products = [_product(item, "2025-03-01 04:00:00") for item in PRODUCTS]
    products = [_repriced(product, monday) for product in products]
    return {
        "day2/starbake/customers_20250310.csv": _dsv([*moved, *joined], ";"),
        "day2/starbake/ingredients_20250310.txt": _fixed(INGREDIENTS),
        "day2/starbake/orders_20250310_0800.json": _lines([*settled, *new[:8], nameless, unreadable]),
        "day2/starbake/orders_20250310_1400.json": _lines([*new[8:16], corrected]),
        "day2/starbake/orders_20250310_1900.json": _lines([*new[16:], *week[-3:], *settled[:2]]),
        "day2/starbake/products_20250310.json": _array([*products, _product(NEW_PRODUCT, f"{monday} 04:00:00")]),
        "day2/network/stores_20250310.psv": _dsv([_shop(shop) for shop in SHOPS], "|"),
        "day2/network/stores_20250310.ack": "",
    }


def _customer(dice: Dice, number: int) -> Row:
    first, last = dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES)
    if number % 13 == 0:
        last = f"{last} 🌸"
    joined = date(2024, 1, 1) + timedelta(days=dice.below(400))
    return {
        "id": number,
        "first_name": first,
        "last_name": last,
        "email": f"client{number}@example.com",
        "phone": f"+336{dice.below(10**8):08d}",
        "birth_date": date(1950, 1, 1) + timedelta(days=dice.below(19000)),
        "city": dice.pick(CITIES),
        "loyalty_tier": dice.pick(TIERS),
        "signed_up_on": joined,
        "updated_at": f"{joined} 09:00:00",
        "internal_note": "appeler le matin" if number % 9 == 0 else "",
    }


def _orders_of(dice: Dice, day: date, count: int) -> list[Row]:
    return [_order(dice, day, number, count) for number in range(count)]


def _order(dice: Dice, day: date, number: int, count: int) -> Row:
    opened = datetime(day.year, day.month, day.day, 7) + timedelta(minutes=number * (660 // count) + dice.below(20))
    # the product of two draws makes some customers regulars
    customer = 1 + dice.below(1 + dice.below(40)) if dice.below(10) else None
    chosen = sorted({dice.pick(PRODUCTS)[0] for _ in range(1 + dice.below(4))})
    prices = {item[0]: item[3] for item in PRODUCTS}
    if day >= MONDAY + timedelta(days=7):
        prices.update(NEW_PRICES)
    order: Row = {
        "order_id": f"O-{(day - MONDAY).days * 100 + number + 1:05d}",
        "customer_id": customer,
        "shop_id": dice.pick(SHOPS[:4])[0],
        "ordered_at": f"{opened}",
        "status": "placed" if number >= count - 4 else "delivered",
        "updated_at": f"{opened + timedelta(minutes=1 + dice.below(10))}",
        "lines": [
            {"product_id": product, "quantity": 1 + dice.below(4), "unit_price": prices[product] / 100}
            for product in chosen
        ],
    }
    if customer and dice.below(3) == 0:
        order["delivery"] = {"mode": dice.pick(["bike", "van"]), "city": dice.pick(CITIES)}
    return order


def _changed(order: Row, status: str, day: date) -> Row:
    return {**order, "status": status, "updated_at": f"{day} 07:05:00"}


def _product(item: tuple[Any, ...], updated_at: str) -> Row:
    code, name, category, cents, vegan, allergens, recipe = item
    parts = [part.split(":") for part in recipe.split()]
    return {
        "product_id": code,
        "name": name,
        "category": category,
        "price": cents / 100,
        "vegan": vegan,
        "allergens": allergens.split(),
        "recipe": [{"ingredient_code": ingredient, "grams": int(grams)} for ingredient, grams in parts],
        "updated_at": updated_at,
    }


def _repriced(product: Row, day: date) -> Row:
    cents = NEW_PRICES.get(product["product_id"])
    return product if cents is None else {**product, "price": cents / 100, "updated_at": f"{day} 04:00:00"}


def _shop(shop: tuple[str, ...]) -> Row:
    return dict(zip(("cd_store", "lb_store", "lb_city", "cd_country", "dt_open"), shop, strict=True))


def _dsv(rows: list[Row], separator: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _fixed(rows: Sequence[tuple[Any, ...]]) -> str:
    """Code, name, unit, cost and supplier in 6, 24, 3, 8 and 18 characters."""
    costs = ["n/a" if cents is None else f"{cents // 100}.{cents % 100:02d}" for *_, cents, _ in rows]
    return "".join(
        f"{code:<6}{name:<24}{unit:<3}{cost:>8}{supplier:<18}\n"
        for (code, name, unit, _, supplier), cost in zip(rows, costs, strict=True)
    )


def _lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _array(rows: list[Row]) -> str:
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def main() -> None:
    """Writes the files below `--to`, by default next to this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "deliveries", help="directory to write to")
    target: Path = parser.parse_args().to
    for name, text in generate().items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


if __name__ == "__main__":
    main()
