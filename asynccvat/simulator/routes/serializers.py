"""Tasks, projects, jobs, labels and annotations as the JSON of CVAT 2.54 shows them.

Only the names and their order live here; what there is to show is the business of `dataset`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from asynccvat.simulator.world.accounts import user_json
from asynccvat.simulator.world.annotations import (
    Annotations,
    AttributeValues,
    Label,
    Shape,
    Tag,
    Track,
)
from asynccvat.simulator.world.dates import stamp
from asynccvat.simulator.world.tasks import Job, Project, Task
from asynccvat.simulator.world.world import Organization


def task_json(task: Task, origin: str, assigned: datetime | None = None) -> dict[str, Any]:
    """A task, last assigned then. One without data lacks the keys that tell of data."""
    jobs = task.jobs()
    value: dict[str, Any] = {
        "url": f"{origin}/api/tasks/{task.id}",
        "id": task.id,
        "name": task.name,
        "project_id": task.project_id,
        "mode": task.mode,
        "owner": user_json(task.owner, origin),
        "assignee": user_json(task.assignee, origin),
        "bug_tracker": "",
        "created_date": stamp(task.created_date),
        "updated_date": stamp(task.updated_date),
        "overlap": task.overlap,
        "segment_size": task.segment_size,
        "status": task.status,
    }
    if task.size is not None:
        value |= {
            "data_chunk_size": task.data_chunk_size,
            "data_original_chunk_type": "imageset",
            "data_compressed_chunk_type": "imageset",
            "data_cloud_storage_id": None,
        }
    value["guide_id"] = None
    if task.size is not None:
        value |= {"size": task.size, "image_quality": task.image_quality, "data": task.id}
    return value | {
        "dimension": "2d",
        "subset": task.subset,
        "organization_id": task.organization_id,
        "organization": task.organization_id,
        "target_storage": None,
        "source_storage": None,
        "jobs": {
            "count": len(jobs),
            "completed": sum(job.state == "completed" for job in jobs),
            "validation": sum(job.stage == "validation" for job in jobs),
            "url": f"{origin}/api/jobs?task_id={task.id}",
        },
        "labels": {"url": f"{origin}/api/labels?task_id={task.id}"},
        "assignee_updated_date": stamp(assigned),
        "validation_mode": None,
        "consensus_enabled": False,
    }


def project_json(project: Project, tasks: list[Task], origin: str) -> dict[str, Any]:
    """A project."""
    return {
        "url": f"{origin}/api/projects/{project.id}",
        "id": project.id,
        "name": project.name,
        "owner": user_json(project.owner, origin),
        "assignee": user_json(project.assignee, origin),
        "guide_id": None,
        "bug_tracker": "",
        "created_date": stamp(project.created_date),
        "updated_date": stamp(project.updated_date),
        "status": project.status,
        "dimension": "2d" if tasks else None,
        "organization": project.organization_id,
        "organization_id": project.organization_id,
        "target_storage": None,
        "source_storage": None,
        "tasks": {"count": len(tasks), "url": f"{origin}/api/tasks?project_id={project.id}"},
        "labels": {"url": f"{origin}/api/labels?project_id={project.id}"},
        "assignee_updated_date": None,
        "task_subsets": list(dict.fromkeys(task.subset for task in tasks if task.subset)),
    }


def job_json(job: Job, task: Task, origin: str) -> dict[str, Any]:
    """A job."""
    return {
        "url": f"{origin}/api/jobs/{job.id}",
        "id": job.id,
        "task_id": job.task_id,
        "project_id": job.project_id,
        "assignee": user_json(job.assignee, origin),
        "guide_id": None,
        "dimension": "2d",
        "bug_tracker": "",
        "status": job.status,
        "stage": job.stage,
        "state": job.state,
        "mode": task.mode,
        "frame_count": job.stop_frame - job.start_frame + 1,
        "start_frame": job.start_frame,
        "stop_frame": job.stop_frame,
        "data_chunk_size": task.data_chunk_size,
        "data_compressed_chunk_type": "imageset",
        "data_original_chunk_type": "imageset",
        "created_date": stamp(job.created_date),
        "updated_date": stamp(job.updated_date),
        "issues": {"url": f"{origin}/api/issues?job_id={job.id}", "count": 0},
        "labels": {"url": f"{origin}/api/labels?job_id={job.id}"},
        "type": "annotation",
        "organization": task.organization_id,
        "target_storage": None,
        "source_storage": None,
        "assignee_updated_date": None,
        "parent_job_id": None,
        "consensus_replicas": 0,
    }


def label_json(label: Label) -> dict[str, Any]:
    """A label."""
    return {
        "id": label.id,
        "name": label.name,
        "color": label.color,
        "attributes": [
            {
                "id": attribute.id,
                "name": attribute.name,
                "mutable": attribute.mutable,
                "input_type": attribute.input_type,
                "default_value": attribute.default_value,
                "values": list(attribute.values),
            }
            for attribute in label.attributes
        ],
        "type": label.type,
        "sublabels": [],
        "project_id": label.project_id,
        "parent_id": None,
        "has_parent": False,
    }


def data_meta_json(task: Task) -> dict[str, Any]:
    """`data/meta`: by it one tells whether the media changed."""
    size = task.size or 0
    return {
        "chapters": None,
        "chunks_updated_date": stamp(task.chunks_updated_date or task.created_date),
        "chunk_size": task.data_chunk_size,
        "size": size,
        "image_quality": task.image_quality,
        "start_frame": 0,
        "stop_frame": size - 1,
        "frame_filter": "",
        "frames": [
            {
                "width": frame.width,
                "height": frame.height,
                "name": frame.name,
                "related_files": 0,
                "has_related_context": False,
            }
            for frame in task.frames()
        ],
        "deleted_frames": list(task.deleted_frames),
        "included_frames": None,
        "storage": "local",
        "cloud_storage_id": None,
    }


def annotations_json(annotations: Annotations) -> dict[str, Any]:
    """The annotations of a task."""
    return {
        "version": 0,
        "tags": [_tag_json(tag) for tag in annotations.tags],
        "shapes": [_shape_json(shape) for shape in annotations.shapes],
        "tracks": [_track_json(track) for track in annotations.tracks],
    }


def _shape_json(shape: Shape) -> dict[str, Any]:
    return {
        "id": shape.id,
        "label_id": shape.label.id,
        "type": shape.type,
        "frame": shape.frame,
        "group": shape.group,
        "source": shape.source,
        "occluded": shape.occluded,
        "outside": False,
        "z_order": shape.z_order,
        "rotation": shape.rotation,
        "points": list(shape.points),
        "view_id": None,
        "description": shape.description,
        "needs_review": shape.needs_review,
        "attributes": _attributes_json(shape.attributes),
        "elements": [],
    }


def _tag_json(tag: Tag) -> dict[str, Any]:
    return {
        "id": tag.id,
        "label_id": tag.label.id,
        "frame": tag.frame,
        "group": tag.group,
        "source": tag.source,
        "attributes": _attributes_json(tag.attributes),
    }


def _track_json(track: Track) -> dict[str, Any]:
    return {
        "id": track.id,
        "label_id": track.label.id,
        "frame": track.frame,
        "group": track.group,
        "source": track.source,
        "shapes": [
            {
                "id": shape.id,
                "frame": shape.frame,
                "type": shape.type,
                "occluded": shape.occluded,
                "outside": shape.outside,
                "z_order": shape.z_order,
                "rotation": shape.rotation,
                "points": list(shape.points),
                "attributes": _attributes_json(shape.attributes),
            }
            for shape in track.shapes
        ],
        "attributes": _attributes_json(track.attributes),
        "elements": [],
    }


def _attributes_json(attributes: AttributeValues) -> list[dict[str, Any]]:
    return [{"spec_id": attribute.id, "value": value} for attribute, value in attributes]


def organization_json(organization: Organization, origin: str) -> dict[str, Any]:
    """An organization."""
    return {
        "id": organization.id,
        "slug": organization.slug,
        "name": organization.name,
        "description": "",
        "created_date": stamp(organization.created),
        "updated_date": stamp(organization.created),
        "contact": {},
        "owner": user_json(organization.owner, origin),
    }
