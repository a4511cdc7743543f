"""The steps in their order: what each consists of, making one shard, and summing up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model_runtime.dataset import clips, faces, references, speech
from model_runtime.dataset.shard import as_json
from model_runtime.dataset.shelf import Found, Record, unwritable, write_whole
from model_runtime.dataset.tally import Tally
from model_runtime.dataset.workshop import Unit, Workshop
from schemas.dataset import Step
from schemas.errors import InvalidInput

_UNITS: dict[Step, Callable[[Workshop], list[Unit]]] = {
    Step.CLIPS: clips.units,
    Step.FACES: faces.units,
    Step.REFERENCES: references.units,
    Step.SPEECH: speech.units,
}
FINAL = Step.SPEECH


class EmptyStep(InvalidInput):
    """A step kept nothing: there is no dataset to go on with."""


class Steps:
    """One dataset's steps in one process."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._known: dict[Step, dict[str, Unit]] = {}

    def plan(self, step: Step, *, whole: bool = True) -> list[tuple[str, Found]]:
        """Every shard of the step and whether it is there. Asked again after the step before was finished.

        Raises:
            InvalidInput: the source is missing or empty.
        """
        units = _UNITS[step](self._workshop)
        self._known[step] = {unit.name: unit for unit in units}
        shelf, found = self._workshop.shelf(step), []
        for done, name in enumerate(self._known[step]):
            found.append((name, shelf.find(name, whole=whole)))
            self._workshop.tick(done + 1, len(units))
        return found

    def make(self, step: Step, name: str) -> Record:
        """Make one shard, whether it is there or not.

        Raises:
            InvalidInput: this step has no such shard: the source changed since it was planned.
        """
        if name not in self._known.get(step, {}):
            self._known[step] = {unit.name: unit for unit in _UNITS[step](self._workshop)}
        unit = self._known[step].get(name)
        if unit is None:
            raise InvalidInput(
                f"step {step} has no shard {name[:16]}... any more: its source changed",
                fix="run the same command again",
            )
        shelf = self._workshop.shelf(step)
        return shelf.make(unit.recipe, lambda tally: unit.samples(tally, self._workshop.tick), self._workshop.scratch)

    def finish(self, step: Step, names: Sequence[str]) -> dict[str, Any]:
        """Sum the shards up in the step's manifest; the last step's is the dataset's, too.

        Raises:
            EmptyStep: nothing was kept; the manifest says so.
            DamagedShard: a shard is not there.
        """
        workshop = self._workshop
        records = [workshop.shelf(step).record(name) for name in names]
        manifest = _manifest(step, records)
        try:
            workshop.shelf(step).folder.mkdir(parents=True, exist_ok=True)
            write_whole(workshop.manifest_path(step), as_json(manifest), workshop.scratch)
            if step is FINAL and manifest["samples"]:
                write_whole(workshop.root / "manifest.json", as_json(self._whole()), workshop.scratch)
        except OSError as error:
            raise unwritable(workshop.root, error) from error
        return manifest

    def _whole(self) -> dict[str, Any]:
        """The dataset's manifest: what it is made of, what each step kept and dropped, and the finished shards."""
        workshop = self._workshop
        manifests = {step: _manifest(step, workshop.records(step)) for step in Step}
        folder = workshop.shelf(FINAL).folder.name
        return {
            "format": 1,
            "name": workshop.order.name,
            "order": workshop.order.model_dump(mode="json", exclude={"weights", "device"}),
            "samples": manifests[FINAL]["samples"],
            "steps": [
                {key: value for key, value in manifest.items() if key != "shards"} for manifest in manifests.values()
            ],
            "shards": [
                {**one, "path": f"{folder}/{one['name']}.tar"} for one in manifests[FINAL]["shards"] if one["samples"]
            ],
        }


def _manifest(step: Step, records: Sequence[Record]) -> dict[str, Any]:
    total = Tally()
    for record in records:
        total.add(_counted(step, record))
    first = records[0].recipe if records else {}
    return {
        "step": step,
        "stage": step.stage,
        "version": first.get("version"),
        "adapters": first.get("adapters"),
        "samples": total.kept,
        **total.as_dict(),
        "shards": [
            {"name": one.name, "sha256": one.sha256, "bytes": one.size, "samples": one.tally.kept} for one in records
        ],
    }


def _counted(step: Step, record: Record) -> Tally:
    """The clips of a shard. Pictures of the pool stand in shards of their own: they are looked at, never kept."""
    given = record.recipe["input"]
    if step is not Step.FACES or not isinstance(given, Mapping) or "pictures" not in given:
        return record.tally
    aside = Tally(looked=record.tally.looked.copy())
    aside.looked["pool: pictures"] += record.tally.came
    for reason, count in record.tally.dropped.items():
        aside.looked[f"pool: {reason}"] += count
    return aside


def refuse_empty(manifest: Mapping[str, Any]) -> None:
    """Raises EmptyStep, saying how many were dropped by what."""
    if manifest["samples"]:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in manifest["dropped"].items())
    verdicts = {what.partition(": ")[2]: n for what, n in manifest["looked"].items() if what.startswith("pictures: ")}
    pictures = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
    raise EmptyStep(
        f"stage {manifest['stage']} ({manifest['step']}) kept nothing of the {manifest['came']} that came: "
        f"{reasons or 'nothing came'}" + (f"; of the pictures {pictures}" if pictures else ""),
        fix="give other material, or loosen what dropped it: docs/dataset.md names each reason and its option",
    )
