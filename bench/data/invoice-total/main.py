"""Adds up the lines of an invoice with discount and tax."""

import argparse
import csv
import io
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

EXAMPLE = """item,quantity,price
Paper,10,4.00
Pens,5,12.00
"""


@dataclass
class Line:
    item: str
    quantity: int
    price: Decimal

    @property
    def total(self) -> Decimal:
        return self.quantity * self.price


def read(text: str) -> list[Line]:
    rows = csv.DictReader(io.StringIO(text))
    return [Line(r["item"], int(r["quantity"]), Decimal(r["price"])) for r in rows]


def invoice(lines: list[Line], discount: Decimal, tax: Decimal) -> str:
    subtotal = sum((line.total for line in lines), Decimal())
    reduced = subtotal * (100 - discount) / 100
    total = reduced * (100 + tax) / 100
    out = [f"{line.item:<20}{line.total:>10.2f}" for line in lines]
    out.append(f"{'Subtotal':<20}{subtotal:>10.2f}")
    if discount:
        out.append(f"{'Discount':<20}{reduced - subtotal:>10.2f}")
    out.append(f"{'Total':<20}{total:>10.2f}")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="CSV with item, quantity, price")
    parser.add_argument("--discount", type=Decimal, default=Decimal(10), help="percent")
    parser.add_argument("--tax", type=Decimal, default=Decimal(19), help="percent")
    parser.add_argument("--out", type=Path, help="write the invoice to this file")
    arguments = parser.parse_args()
    text = arguments.file.read_text("utf-8") if arguments.file else EXAMPLE
    result = invoice(read(text), arguments.discount, arguments.tax)
    print(result)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(result + "\n", "utf-8")


if __name__ == "__main__":
    main()
