"""Users, tasks, projects, jobs and requests as the JSON of CVAT 2.54.

`formats.annotations_json` has labels and annotations.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from asynccvat.simulator.queues.requests import Request
from asynccvat.simulator.wire.responses import encode
from asynccvat.simulator.world.accounts import AccessToken, UserAccount
from asynccvat.simulator.world.clouds import CloudStorage
from asynccvat.simulator.world.dates import stamp
from asynccvat.simulator.world.issues import Issue
from asynccvat.simulator.world.tasks import Job, Project, Task
from asynccvat.simulator.world.users import Organization, User


def task_json(task: Task, origin: str, assigned: datetime | None = None) -> dict[str, Any]:
    """Return a task as JSON; one without data lacks the keys that describe data."""
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
            "data_original_chunk_type": chunk_type(task),
            "data_compressed_chunk_type": chunk_type(task),
            "data_cloud_storage_id": task.media.cloud_storage_id if task.media else None,
        }
    value["guide_id"] = None
    if task.size is not None:
        value |= {"size": task.size, "image_quality": task.image_quality, "data": task.id}
    return value | {
        "dimension": task.dimension,
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
        "validation_mode": "gt" if any(job.type == "ground_truth" for job in jobs) else None,
        "consensus_enabled": False,
    }


def chunk_type(task: Task) -> str:
    """Return what the chunks of a task are: `imageset`, or `video`."""
    return "video" if task.video else "imageset"


def project_json(project: Project, tasks: list[Task], origin: str) -> dict[str, Any]:
    """Return a project as JSON."""
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
        "dimension": tasks[0].dimension if tasks else None,
        "organization": project.organization_id,
        "organization_id": project.organization_id,
        "target_storage": None,
        "source_storage": None,
        "tasks": {"count": len(tasks), "url": f"{origin}/api/tasks?project_id={project.id}"},
        "labels": {"url": f"{origin}/api/labels?project_id={project.id}"},
        "assignee_updated_date": None,
        "task_subsets": list(dict.fromkeys(task.subset for task in tasks if task.subset)),
    }


def job_json(job: Job, task: Task, origin: str, issues: int = 0) -> dict[str, Any]:
    """Return a job as JSON, with the number of its issues."""
    return {
        "url": f"{origin}/api/jobs/{job.id}",
        "id": job.id,
        "task_id": job.task_id,
        "project_id": job.project_id,
        "assignee": user_json(job.assignee, origin),
        "guide_id": None,
        "dimension": task.dimension,
        "bug_tracker": "",
        "status": job.status,
        "stage": job.stage,
        "state": job.state,
        "mode": task.mode,
        "frame_count": job.frame_count,
        "start_frame": job.start_frame,
        "stop_frame": job.stop_frame,
        "data_chunk_size": task.data_chunk_size,
        "data_compressed_chunk_type": chunk_type(task),
        "data_original_chunk_type": chunk_type(task),
        "created_date": stamp(job.created_date),
        "updated_date": stamp(job.updated_date),
        "issues": {"url": f"{origin}/api/issues?job_id={job.id}", "count": issues},
        "labels": {"url": f"{origin}/api/labels?job_id={job.id}"},
        "type": job.type,
        "organization": task.organization_id,
        "target_storage": None,
        "source_storage": None,
        "assignee_updated_date": stamp(job.assigned),
        "parent_job_id": job.parent_job_id,
        "consensus_replicas": 0,
    }


def data_meta_json(task: Task) -> dict[str, Any]:
    """Return `data/meta`, which shows whether the images changed."""
    size, media = task.size or 0, task.media
    frames = task.frames()
    if task.video:
        frames = frames[:1]  # a video has one entry
    changed = task.chunks_updated_date or task.created_date
    return {
        "chapters": [] if task.video else None,
        "chunks_updated_date": stamp(changed) if size else None,
        "chunk_size": task.data_chunk_size,
        "size": size,
        "image_quality": task.image_quality,
        "start_frame": media.start_frame if media else 0,
        "stop_frame": media.stop_frame if media else max(0, size - 1),
        "frame_filter": media.frame_filter if media else "",
        "frames": [
            {
                "width": frame.width,
                "height": frame.height,
                "name": task.video or frame.name,
                "related_files": 0,
                "has_related_context": False,
            }
            for frame in frames
        ],
        "deleted_frames": list(task.deleted_frames),
        "included_frames": None,
        "storage": media.storage if media else "local",
        "cloud_storage_id": media.cloud_storage_id if media else None,
    }


def organization_json(organization: Organization, origin: str) -> dict[str, Any]:
    """Return an organization as JSON."""
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


def cloud_storage_json(storage: CloudStorage, origin: str) -> dict[str, Any]:
    """Return a cloud storage as JSON, without its credentials."""
    return {
        "id": storage.id,
        "owner": user_json(storage.owner, origin),
        "manifests": [],
        "created_date": stamp(storage.created_date),
        "updated_date": stamp(storage.updated_date),
        "provider_type": storage.provider_type,
        "resource": storage.resource,
        "display_name": storage.display_name,
        "credentials_type": storage.credentials_type,
        "specific_attributes": storage.specific_attributes,
        "description": storage.description,
        "organization": storage.organization_id,
    }


def issue_json(issue: Issue, origin: str) -> dict[str, Any]:
    """Return an issue as JSON."""
    return {
        "id": issue.id,
        "frame": issue.frame,
        "position": list(issue.position),
        "job": issue.job_id,
        "owner": user_json(issue.owner, origin),
        "assignee": None,
        "created_date": stamp(issue.created_date),
        "updated_date": stamp(issue.created_date),
        "resolved": issue.resolved,
        "comments": {"url": f"{origin}/api/comments?issue_id={issue.id}", "count": 1},
    }


def request_json(request: Request, origin: str) -> dict[str, Any]:
    """Return a request as JSON, as one response shows it.

    A response may call it finished without dates: CVAT's queue writes the status first.
    """
    hides_dates = request.status == "finished" and request.null_dates > 0
    hides_start = hides_dates and request.null_dates > 1
    if hides_dates:
        request.null_dates -= 1
    url = None
    if request.status == "finished" and request.result_path is not None:
        escaped = request.id.replace("&", "%26").replace("=", "%3D")
        url = f"{origin}{request.result_path}?rq_id={escaped}"
    return {
        "status": request.status,
        "message": request.message,
        "id": request.id,
        "operation": {
            "type": request.type,
            "target": request.target.kind,
            "project_id": request.target.project_id,
            "task_id": request.target.task_id,
            "job_id": request.target.job_id,
            "format": request.format,
            "lightweight": request.lightweight,
        },
        "progress": 0.0,
        "created_date": stamp(request.created),
        "started_date": None if hides_start else stamp(request.started),
        "finished_date": None if hides_dates else stamp(request.finished),
        "expiry_date": None if hides_dates else stamp(request.expiry),
        "owner": {"id": request.owner.id, "username": request.owner.username},
        "result_url": url,
        "result_id": request.result_id,
    }


def account_json(account: UserAccount, origin: str) -> bytes:
    """Return an account as `GET /api/users/self` shows it, encoded."""
    user = account.user
    return encode(
        {
            "url": f"{origin}/api/users/{user.id}",
            "id": user.id,
            "username": user.username,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "email": user.email,
            "groups": [_group(account)],
            "is_staff": account.superuser,
            "is_superuser": account.superuser,
            "is_active": True,
            "last_login": stamp(account.last_login),
            "date_joined": "2026-01-01T08:00:00.567208Z",
            "has_analytics_access": account.superuser,
        }
    )


def _group(account: UserAccount) -> str:
    if account.worker:
        return "worker"
    return "admin" if account.superuser else "user"


def access_token_json(token: AccessToken, origin: str) -> dict[str, object]:
    """Return a personal access token as JSON, without its value."""
    return {
        "id": token.id,
        "name": token.name,
        "created_date": stamp(token.created),
        "updated_date": stamp(token.created + timedelta(microseconds=27)),
        "expiry_date": stamp(token.expiry),
        "last_used_date": stamp(token.last_used),
        "read_only": token.read_only,
        "owner": user_json(token.account.user, origin),
    }


def user_json(user: User | None, origin: str) -> dict[str, object] | None:
    """Return a user as JSON, as owner or assignee."""
    if user is None:
        return None
    return {
        "url": f"{origin}/api/users/{user.id}",
        "id": user.id,
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
    }
