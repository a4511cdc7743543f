"""From a manifest file to a submission: read, check every row, check every reference, plan.

Nothing is stored before the whole sheet is known; `store` then copies what the plan uses into the object store.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.campaign.collector import collector_at_rest, collector_back
from flows.campaign.given_file import read_campaign_text, read_sheet, require_name
from flows.stages.executor import Executor, run_all
from flows.stages.media_check import Kind, MediaAnswer, MediaDesk, MediaQuestion, checker, storer
from schemas.campaign import CampaignSettings, ManifestRef
from schemas.campaign_file import parse_campaign_file
from schemas.digest import sha256_hex
from schemas.errors import InvalidInput
from schemas.manifest.parse import ParsedManifest, parse_manifest
from schemas.manifest.rows import ManifestRow, check_rows
from schemas.model_spec import ModelSpec, engine_digest, find_engine, find_model
from schemas.object_ref import ObjectRef
from schemas.planning import RenderSetup, RowMedia, plan_rows
from schemas.problem import RowProblem
from schemas.settings import Settings
from schemas.shot import Picture
from schemas.submission import PlannedRow, Submission
from schemas.weights import WeightsLock, lock_name
from storage.objects import layout
from storage.objects.protocol import ObjectStore
from storage.objects.verified import put_input
from storage.places import ledger_exists, open_ledger_of, scratch_folder
from storage.scratch import ScratchFolder

log = logging.getLogger("callsheet.intake")

Report = Callable[[str, int, int], None]
"""Told `(phase, done, total)` as the work goes on."""


def silent(phase: str, done: int, total: int) -> None:
    """A report for nobody."""


@dataclass(frozen=True, kw_only=True)
class ManifestSource:
    """Which sheet, and what was said about it on the command line."""

    path: Path
    campaign: str = ""
    """Empty: the file's stem."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Campaign settings that win over `campaign.toml`; None means not given."""
    base: str = ""
    """`s3://` prefix that references start from when the sheet itself was brought from there; empty: its folder."""
    kept_at: str = ""
    """Where the sheet and its files will lie afterwards; empty: where they are now."""

    @property
    def name(self) -> str:
        return self.campaign or self.path.stem


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A sheet of which everything is known; nothing of it is stored yet."""

    source: ManifestSource
    data: bytes
    parsed: ParsedManifest
    setup: RenderSetup
    rows: tuple[PlannedRow, ...]
    problems: tuple[RowProblem, ...]
    """Of the file and of its rows, in file order."""
    desk: MediaDesk

    @property
    def is_clean(self) -> bool:
        return not self.problems

    def inputs(self) -> list[ObjectRef]:
        """Every distinct stored file that a valid row needs."""
        wanted: dict[str, ObjectRef] = {}
        for row in self.rows:
            if row.is_valid and row.shot:
                refs = [picture.object for picture in row.shot.images]
                if row.shot.speech:
                    refs += [row.shot.speech.original, row.shot.speech.normalised]
                wanted.update({ref.sha256: ref for ref in refs})
        return list(wanted.values())


@contextmanager
def checked_manifest(
    source: ManifestSource,
    settings: Settings,
    executor: Executor,
    report: Report = silent,
    *,
    known_folders: Callable[[], tuple[Path, ...]] = tuple,
) -> Iterator[Checked]:
    """Check a whole sheet; fetched files wait in a private folder that goes with the context.

    A row's `_base` may name the sheet's own folder or one of `known_folders()`, which is asked only where a row has
    one: folders that were submitted from before (`submitted_folders`). A sheet cannot name a folder of its own choice.

    Raises:
        InvalidManifest: the file as a whole cannot be read; carries its problems.
        InvalidInput: the campaign's settings name no known model or engine, or do not fit together.
    """
    data = read_sheet(source.path, max_bytes=settings.limits.manifest_bytes)
    setup = render_setup(source, settings)
    report("reading", 0, 0)
    with collector_at_rest():
        parsed = parse_manifest(
            data, name=source.path.name, limits=settings.limits, mapping=source.mapping, delimiter=source.delimiter
        )
        found = check_rows(parsed, settings=setup.settings, model=setup.model, limits=settings.limits)
    with ExitStack() as ending:
        ending.callback(collector_back)
        inbox = ending.enter_context(ScratchFolder(scratch_folder(settings), "intake"))
        roots = known_folders() if any(row.base for row in found.rows) else ()
        desk = MediaDesk(root=source.path.resolve().parent, roots=roots, inbox=inbox.folder, settings=settings)
        wanted = [row if row.base or not source.base else row._replace(base=source.base) for row in found.rows]
        media = check_media(wanted, desk, executor, report)
        with collector_at_rest():
            rows = plan_rows(found.rows, media, setup)
        file_problems = [problem for problem in found.problems if problem.line == 0]
        row_problems = [problem for row in rows for problem in row.problems]
        yield Checked(
            source=source,
            data=data,
            parsed=parsed,
            setup=setup,
            rows=rows,
            problems=(*file_problems, *row_problems),
            desk=desk,
        )


def submitted_folders(settings: Settings) -> tuple[Path, ...]:
    """Folders of this machine that campaigns were submitted from: where the rows of a failed.csv start from.

    Asking makes no ledger where there is none: a sheet that is refused leaves nothing behind.
    """
    if not ledger_exists(settings):
        return ()
    with closing(open_ledger_of(settings)) as ledger:
        campaigns = ledger.campaigns()
    bases = {campaign.manifest.base for campaign in campaigns if campaign.manifest}
    return tuple(Path(base) for base in sorted(bases) if base and Path(base).is_dir())


def render_setup(source: ManifestSource, installation: Settings) -> RenderSetup:
    """The campaign's settings from `campaign.toml` beside the sheet and the flags, with its model and engine.

    Raises:
        InvalidInput: an unknown setting, model or engine, or an engine that cannot render the model, or not on so
            many devices.
    """
    beside = source.path.parent / "campaign.toml"
    text = read_campaign_text(beside)
    given = {key: value for key, value in source.overrides.items() if value is not None}
    stated = parse_campaign_file(text, name=str(beside))
    settings = CampaignSettings.model_validate({**stated.model_dump(), **given})
    model: ModelSpec = find_model(settings.model)
    engine = find_engine(settings.engine or model.engine)
    if not engine.renders(model):
        raise InvalidInput(
            f"the engine {engine.name!r} cannot render the model {model.name!r}",
            fix=f"leave the engine out, or use --engine {model.engine}",
        )
    if engine.max_ranks is not None and settings.ranks > engine.max_ranks:
        raise InvalidInput(
            f"{settings.ranks} ranks to render one clip, expected at most {engine.max_ranks} for the engine "
            f"{engine.name!r}",
            fix="leave ranks out of the command and of campaign.toml; more workers render more clips at once",
        )
    digest = weights_digest(model, installation) if engine.needs_weights else engine_digest(engine, model)
    return RenderSetup(settings=settings, model=model, engine=engine, model_digest=digest)


def weights_digest(model: ModelSpec, installation: Settings) -> str:
    """What the weights' lock file says; empty where there is none: a sheet may be checked and planned without weights.

    Raises:
        InvalidInput: there is a lock file and it cannot be used.
    """
    path = Path(installation.weights) / lock_name(model.name)
    if not path.is_file():
        return ""
    return WeightsLock.parse(path.read_text(encoding="utf-8"), name=str(path)).digest


def require_weights(setup: RenderSetup, installation: Settings) -> None:
    """Refuse to submit what no worker could render under a known key.

    Raises:
        InvalidInput: the model's weights are not locked here.
    """
    if not setup.model_digest:
        path = Path(installation.weights) / lock_name(setup.model.name)
        how = setup.model.how_to_get.format(name=setup.model.name)
        raise InvalidInput(
            f"there is no lock file {path}: the weights of {setup.model.name} are not known here",
            fix=f"{how}; --engine animatic checks the campaign without weights",
        )


def check_media(
    rows: Sequence[ManifestRow], desk: MediaDesk, executor: Executor, report: Report
) -> dict[int, RowMedia]:
    """Answer every distinct reference once and give each row its answers, by the row's position."""
    with collector_at_rest():
        asked = {row.position: row_questions(row) for row in rows}
        questions = {question: None for own in asked.values() for _, question in own}
    answers: dict[MediaQuestion, MediaAnswer] = {}
    report("checking media", 0, len(questions))
    for question, answer in run_all(executor, checker(desk), list(questions)):
        answers[question] = answer
        report("checking media", len(answers), len(questions))
    with collector_at_rest():
        return {row.position: row_media(row, asked[row.position], answers) for row in rows}


def row_questions(row: ManifestRow) -> list[tuple[str, MediaQuestion]]:
    """`(column, question)` for every reference of a row."""
    asked = [("image", MediaQuestion(kind=Kind.IMAGE, reference=reference, base=row.base)) for reference in row.images]
    if row.audio:
        asked.append(("audio", MediaQuestion(kind=Kind.AUDIO, reference=row.audio, base=row.base)))
    return asked


_NOTHING = MediaAnswer()


def row_media(
    row: ManifestRow, asked: Iterable[tuple[str, MediaQuestion]], answers: Mapping[MediaQuestion, MediaAnswer]
) -> RowMedia:
    """One row's answers in the order of what it asked; problems get the row's place."""
    images: list[Picture] = []
    problems: list[RowProblem] = []
    heard = _NOTHING
    for column, question in asked:
        answer = answers[question]
        if answer.code:
            problems.append(
                RowProblem(
                    row_id=row.row_id,
                    line=row.line,
                    column=column,
                    code=answer.code,
                    message=answer.message,
                    fix=answer.fix,
                )
            )
        elif answer.picture:
            images.append(answer.picture)
        else:
            heard = answer
    return RowMedia(images=tuple(images), speech=heard.speech, envelope=heard.envelope, problems=tuple(problems))


def store_inputs(checked: Checked, store: ObjectStore, executor: Executor, report: Report = silent) -> ManifestRef:
    """Copy the manifest and every input of a valid row into the store, each content once.

    Raises:
        InvalidInput: the model's weights are not known here; nothing was stored.
        Retryable: the store is away; what was stored stays and is found again.
    """
    require_weights(checked.setup, checked.desk.settings)
    wanted = checked.inputs()
    report("storing inputs", 0, len(wanted))
    for done, _ in enumerate(_stored(checked, wanted, executor), start=1):
        report("storing inputs", done, len(wanted))
    manifest = put_input(store, checked.data, media_type="text/csv")
    return manifest_ref(checked, manifest)


def _stored(checked: Checked, wanted: Iterable[ObjectRef], executor: Executor) -> Iterator[object]:
    return run_all(executor, storer(checked.desk), wanted)


def manifest_ref(checked: Checked, stored: ObjectRef | None = None) -> ManifestRef:
    """What the ledger keeps of the sheet; without `stored`, as it would be."""
    parsed = checked.parsed
    sha256 = sha256_hex(checked.data)
    return ManifestRef(
        object=stored
        or ObjectRef(key=layout.input_key(sha256), sha256=sha256, size=len(checked.data), media_type="text/csv"),
        name=checked.source.path.name,
        encoding=parsed.encoding,
        delimiter=parsed.delimiter,
        line_end=parsed.line_end,
        columns=parsed.columns,
        rows=len(checked.rows),
        base=checked.source.kept_at or checked.source.base or str(checked.source.path.resolve().parent),
    )


def to_submission(checked: Checked, manifest: ManifestRef | None) -> Submission:
    """What the ledger is asked to make true.

    Raises:
        InvalidInput: the campaign's name cannot be one.
    """
    return Submission(
        name=require_name(checked.source.name), settings=checked.setup.settings, manifest=manifest, rows=checked.rows
    )
