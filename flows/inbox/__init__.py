"""The inbox: put a sheet and its files there, and they become a campaign."""
