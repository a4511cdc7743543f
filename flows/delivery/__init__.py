"""What comes back: videos, results.csv, failed.csv, a gallery and a report, written from the ledger and the store."""

from flows.delivery.deliver import Delivery, deliver
from flows.delivery.progress import Report, silent

__all__ = ["Delivery", "Report", "deliver", "silent"]
