"""The runner: `python -m flows.deploy.serve` registers everything and runs what is scheduled, each in a process."""

from __future__ import annotations

from flows.prefect_home import use_prefect
from flows.where import resolve_settings, use_settings

PROCESSES = 50
"""One for each campaign under way, and the routine flows."""


def main() -> None:
    settings = resolve_settings().settings
    use_settings(settings)
    use_prefect(settings)
    from prefect import serve

    from flows.deploy.catalogue import catalogue
    from flows.deploy.register import register_automations, runner_deployment

    register_automations(settings)
    deployments = [runner_deployment(deployed) for deployed in catalogue(settings)]
    serve(*deployments, pause_on_shutdown=False, print_starting_message=False, limit=PROCESSES)


if __name__ == "__main__":
    main()
