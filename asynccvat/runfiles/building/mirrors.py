"""Build mirrors and exports to cloud storages."""

from __future__ import annotations

from asynccvat.core.options.cloud import RECORD_SUFFIX, CloudOptions
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.plans.cloud import folder_of
from asynccvat.core.selections.fitting import unfitting_condition
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import BackupSpec, ExportSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError
from asynccvat.runfiles.building.context import StepContext, absolute, path_of
from asynccvat.runfiles.declarations import EXPORT_TO_CLOUD, MIRROR
from asynccvat.runfiles.mappings import Section
from asynccvat.runfiles.steps import CloudStep, MirrorStep, StepHead
from asynccvat.runfiles.wording import in_keys


def mirror(context: StepContext, head: StepHead, section: Section) -> MirrorStep | None:
    """Build a mirror; its keys are the options of the command."""
    values = section.values
    selection, places = context.selected(section)
    context.remember(places, section, "format")
    prefix = context.prefix(section, MIRROR)
    options = context.options(MirrorOptions, head, section)
    if prefix is None or selection is None or options is None or "dest" not in values:
        return None
    dest = path_of(values["dest"])
    context.made.add(absolute(dest))
    return MirrorStep(
        **head.fields(places.found),
        dest=dest,
        selection=selection,
        format=values.get("format"),
        images=values.get("images"),
        options=options,
    )


def export_to_cloud(context: StepContext, head: StepHead, section: Section) -> CloudStep | None:
    """Build an export to a cloud storage; its keys are the options of the command."""
    values = section.values
    selection, places = context.selected(section)
    context.remember(places, section, "format")
    if selection is None or "storage" not in values:
        return None
    backup = values.get("backup", False)
    if backup and ("format" in values or values.get("images")):
        context.reader.report(
            section.entries["backup"].value,
            "a backup has no format, and holds the images: remove 'backup', or 'format' and "
            "'images'",
        )
        return None
    if "record" in values and path_of(values["record"]).suffix != RECORD_SUFFIX:
        context.reader.report(
            section.entries["record"].value, f"its name has to end with {RECORD_SUFFIX}"
        )
        return None
    options = context.options(CloudOptions, head, section, "record")
    if options is None or not _is_meant(context, section, selection, options):
        return None
    exported = ExportSpec(
        values.get("format", ExportSpec().format), images=values.get("images", False)
    )
    return CloudStep(
        **head.fields(places.found),
        storage_id=values["storage"],
        prefix=values.get("prefix", ""),
        selection=selection,
        spec=BackupSpec() if backup else exported,
        options=options,
    )


def _is_meant(
    context: StepContext, section: Section, selection: Selection, options: CloudOptions
) -> bool:
    """Report a folder or a condition that an export to a cloud storage cannot use."""
    target = TargetKind.of_plural(options.target)
    wrong = unfitting_condition(
        target, selection, stage=options.stage, state=options.state, type=options.type
    )
    if wrong is not None:
        key = wrong.removeprefix("--").replace("-", "_")
        said = f"it has no meaning for {target.plural}: leave it out"
        context.reader.report(section.entries[key].value, said)
        return False
    try:
        folder_of(section.values.get("prefix", ""))
    except ConfigError as error:
        context.reader.report(section.entries["prefix"].value, in_keys(str(error), EXPORT_TO_CLOUD))
        return False
    return True
