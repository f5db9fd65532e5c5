"""Counts orders and sums their amounts in a file. A document with an id counts only once.

Run it twice: the second run resumes where the first ended, and counts nothing twice.
``python examples/python/order_processing.py``
"""

import sys

import dictrack as dt

ORDERS = [
    {"order_id": "ORD001", "status": "completed", "amount": 150.00, "payment_method": "credit_card"},
    {"order_id": "ORD002", "status": "pending", "amount": 200.00, "payment_method": "paypal"},
    {"order_id": "ORD003", "status": "completed", "amount": 75.50, "payment_method": "debit_card"},
    {"order_id": "ORD004", "status": "completed", "amount": 320.00, "payment_method": "credit_card"},
    {"order_id": "ORD005", "status": "cancelled", "amount": 50.00, "payment_method": "credit_card"},
]


def main(manager: dt.TrackingManager) -> list[str]:
    """Runs on any manager. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    completed = dt.KeyValueEQ("status", "completed")
    paid = dt.KeyValueInList("payment_method", ["credit_card", "debit_card", "paypal"])
    # Call this every time a service starts: existing and completed trackers are left alone.
    manager.ensure_trackers(
        "orders",
        [
            dt.CountTracker("order_count", [completed], target=[10, 50, 100, 500]),
            dt.AccumulationTracker("order_amount", [completed, paid], target=[1000, 5000, 10000, 50000]),
        ],
    )
    for order in ORDERS:
        outcome = manager.track("orders", order, event_id=str(order["order_id"]))
        verdict = "known" if outcome.duplicate else "counts" if outcome.dirtied else "does not count"
        say(f"{order['order_id']} {verdict}")
    for tracker in manager.get_trackers("orders"):
        say(f"{tracker.name}: {tracker.progress}/{tracker.target}")
    return printed


if __name__ == "__main__":
    with dt.TrackingManager.open(sys.argv[1] if len(sys.argv) > 1 else "orders.db") as manager:
        main(manager)
