"""The table of engines: name -> `module:class`, imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from model_runtime.engine import Engine, EngineFactory, Gang
from schemas.errors import InvalidInput
from schemas.model_spec import ModelSpec, find_engine

GROUP = "callsheet.engines"
"""Entry-point group under which a plug-in registers its engine class."""

SHIPPED = {
    "animatic": "model_runtime.engines.animatic:AnimaticEngine",
    "humo": "model_runtime.engines.humo:HumoEngine",
    "pattern": "model_runtime.engines.testing:PatternEngine",
}


def engines() -> dict[str, str]:
    """Every known engine as `module:class`; a plug-in of a shipped name takes its place."""
    return SHIPPED | {point.name: point.value for point in entry_points(group=GROUP)}


def find_factory(name: str) -> EngineFactory:
    """The class of that engine, imported now.

    Raises:
        InvalidInput: no such engine; the message lists the known ones.
        ImportError: it needs a package that is not installed.
    """
    known = engines()
    if name not in known:
        raise InvalidInput(
            f"unknown engine {name!r}; known: {', '.join(sorted(known))}", fix="choose one of the known engines"
        )
    module, _, attribute = known[name].partition(":")
    factory: EngineFactory = getattr(import_module(module), attribute)
    return factory


def open_engine(name: str, model: ModelSpec, gang: Gang) -> Engine:
    """An engine, warm.

    Raises:
        InvalidInput: unknown engine, a model it cannot render, or a spec that differs from the registered one.
        ImportError: it needs a package that is not installed.
    """
    engine = find_factory(name)()
    registered = find_engine(name)
    if engine.spec != registered:
        raise InvalidInput(
            f"engine {name!r} says {engine.spec}, but plans were made with {registered}",
            fix="install the same version of the engine for planning and for rendering",
        )
    if not registered.renders(model):
        models = ", ".join(sorted(registered.models or ()))
        raise InvalidInput(
            f"engine {name!r} cannot render with model {model.name!r}; it can with {models}",
            fix="choose one of its models",
        )
    engine.open(model, gang)
    return engine
