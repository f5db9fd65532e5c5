"""A custom condition, and a custom tracker that computes what a document adds.

Their attributes are stored with the definitions; another process that defines the classes can continue with them. Run it:
``python examples/python/custom_condition.py``
"""

from typing import Any

import dictrack as dt


class HighValueOrder(dt.BaseCondition):
    """The amount is high, the customer is of a tier, and the region is not excluded."""

    def __init__(self, least: float, tiers: list[str], excluded: list[str]) -> None:
        self.least = least
        self.tiers = tiers
        self.excluded = excluded

    def check(self, data: Any, *args: Any, **kwargs: Any) -> bool:
        """Whether an order counts."""
        return (
            data.get("amount", 0) >= self.least
            and data.get("customer_tier", "") in self.tiers
            and data.get("region", "") not in self.excluded
        )


class PointsTracker(dt.NumericTracker):
    """Awards points for each full amount."""

    def __init__(self, name: str, per: int, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.per = per

    def amount(self, data: Any) -> int:
        """The points for one order."""
        return int(data["amount"] // self.per)


ORDERS = [
    {"order_id": "ORD001", "amount": 50, "customer_tier": "gold", "region": "us"},
    {"order_id": "ORD002", "amount": 150, "customer_tier": "gold", "region": "us"},
    {"order_id": "ORD003", "amount": 200, "customer_tier": "platinum", "region": "eu"},
    {"order_id": "ORD004", "amount": 120, "customer_tier": "silver", "region": "us"},
    {"order_id": "ORD005", "amount": 300, "customer_tier": "gold", "region": "blocked"},
    {"order_id": "ORD006", "amount": 180, "customer_tier": "platinum", "region": "uk"},
]


def main(manager: dt.TrackingManager) -> list[str]:
    """Runs on any manager. Returns what it printed."""
    printed: list[str] = []

    def say(line: str) -> None:
        printed.append(line)
        print(line)

    high = HighValueOrder(100, ["gold", "platinum"], ["blocked", "suspended"])
    orders = dt.CountTracker("high_value_orders", [high], target=[10, 50, 100])
    points = PointsTracker("points", per=10, conditions=[high], target=1000)
    manager.ensure_trackers("orders", [orders, points])
    for order in ORDERS:
        outcome = manager.track("orders", order)
        say(f"{order['order_id']} {'counts' if outcome.dirtied else 'does not count'}")
    say(f"orders: {orders.progress}/{orders.target}, points: {points.progress}")
    return printed


if __name__ == "__main__":
    with dt.TrackingManager() as manager:
        main(manager)
