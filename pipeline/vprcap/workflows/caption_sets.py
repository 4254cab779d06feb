"""From what a user names to a caption set that is there, with its plan where that is needed."""

from dataclasses import dataclass
from pathlib import Path

from vprcap.caption_sets.caption_set import CaptionSet, find_caption_set
from vprcap.errors import MissingError, StaleArtefactError
from vprcap.manifests.manifest import read_manifest_info
from vprcap.manifests.plan import Plan, plan_path, read_plan
from vprcap.workflows.prepare import Source, captions_root_of, find_manifest

_PLAN = ".plan.parquet"


@dataclass(frozen=True, slots=True)
class KnownSet:
    """A caption set, and the manifest and plan of what it covers."""

    captions: CaptionSet
    manifest: Path
    plan: Plan


def find_set(source: Source, captions: Path | None = None) -> CaptionSet:
    """Find a caption set: by its folder, or as the one of some images.

    Raises:
        MissingError: there is none.
        InvalidError: there are several; the message names them.
    """
    folder = captions or _folder(source)
    if folder is None:
        manifest = find_manifest(source)
        plan_id = read_plan(plan_path(manifest)).info.plan_id
        images = Path(read_manifest_info(manifest)[0].image_root)
        folder = find_caption_set(captions_root_of(source, images), plan_id)
    if not CaptionSet(folder).config_json.is_file():
        raise MissingError(f"{folder} is no caption set; name a folder that holds a config.json")
    return CaptionSet(folder)


def open_set(source: Source, captions: Path | None = None) -> KnownSet:
    """Find a caption set and the plan of what it covers.

    Raises:
        MissingError: there is no such set, or its plan is not beside it.
        StaleArtefactError: the set is of other images than those named.
    """
    found = find_set(source, captions)
    named = source.dataset is not None or (source.path is not None and _folder(source) is None)
    manifests = [find_manifest(source)] if named else _manifests_beside(found)
    wanted = found.covers()
    for manifest in manifests:
        plan = read_plan(plan_path(manifest))
        if wanted.num_images < plan.info.num_images:  # a set of the first images only
            plan = plan.first(wanted.num_images)
        if plan.info.plan_id == wanted.plan_id:
            return KnownSet(found, manifest, plan)
    if named:
        raise StaleArtefactError(
            f"{found.root.name} is not of the images of {manifests[0]}; name the manifest that it "
            "was captioned from"
        )
    raise MissingError(
        f"no plan of {found.root.name} in {found.root.parent}; name the manifest that it was "
        f"captioned from, and --captions {found.root}"
    )


def _folder(source: Source) -> Path | None:
    """Return the path of a source if it is the folder of a caption set."""
    path = source.path
    return path if path is not None and CaptionSet(path).config_json.is_file() else None


def _manifests_beside(captions: CaptionSet) -> list[Path]:
    """Return the manifests with a plan that lie in the captions root of a set."""
    plans = sorted(captions.root.absolute().parent.glob(f"*{_PLAN}"))
    return [path.with_name(f"{path.name.removesuffix(_PLAN)}.parquet") for path in plans]
