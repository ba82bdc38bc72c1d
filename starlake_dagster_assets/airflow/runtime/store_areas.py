"""The areas of a project in an object store, through the hooks of Airflow's providers.

Exported next to the DAG files: it needs nothing but the provider of the environment, at run time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from starlake_dagster_assets.airflow.runtime.load_spec import WorkerTable
from starlake_dagster_assets.airflow.runtime.local_try_record import RecordFile, area_urls
from starlake_dagster_assets.project.resolve.ack_files import ack_file_name
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["STORES", "StoreAreas", "files_in_store", "store_areas"]

STORES = ("gs://", "s3://", "s3a://")
"""Beginnings of URLs whose objects a hook of Airflow can list."""
_FEW = 50
"""Number of files up to which each is looked up by name; for more files the directory is listed."""


@dataclass(frozen=True)
class StoreAreas:
    """The areas of a project in Cloud Storage or S3.

    Attributes:
        urls: URLs by area: `stage`, `ingesting` and `archive`.
    """

    urls: Mapping[str, str]

    @property
    def archives(self) -> bool:
        """Whether the project archives loaded files."""
        return "archive" in self.urls

    def list_files(self, area: Literal["stage", "ingesting"], domain: str) -> Mapping[str, str] | None:
        """Returns the marks of the files of a domain by name."""
        return dict(_objects(f"{self.urls[area]}/{domain}/"))

    def archived(self, domain: str, names: Collection[str]) -> Mapping[str, str] | None:
        """Returns the marks of the given files that are in `archive`; None if the project keeps no archive."""
        if not self.archives:
            return None
        folder = f"{self.urls['archive']}/{domain}/"
        urls = [f"{folder}{name}" for name in names] if len(names) <= _FEW else [folder]
        return {name: mark for url in urls for name, mark in _objects(url) if name in names}

    def put_back(self, table: WorkerTable, name: str, tables: Sequence[WorkerTable]) -> str | None:
        """Returns None: as in Dagster, only files on the disk of the worker are moved."""
        return None

    def record(self, name: str) -> RecordFile:
        """Returns the file of a record, next to `ingesting`."""
        return StoreRecord(f"{self.urls['ingesting'].rpartition('/')[0]}/.starlake_tries/{name}")


@dataclass(frozen=True)
class StoreRecord:
    """Record of the tries of a task, stored as an object.

    Attributes:
        url: URL of the object.
    """

    url: str

    def read(self) -> str | None:
        """Returns the text; None if there is no file."""
        scheme, bucket, key = _split_url(self.url)
        hook = _hook(scheme)
        if scheme == "gs":
            return hook.download(bucket, key).decode() if hook.exists(bucket, key) else None
        return hook.read_key(key, bucket) if hook.check_for_key(key, bucket) else None

    def write(self, text: str) -> None:
        """Replaces the text.

        Raises:
            OSError: The record cannot be written.
        """
        scheme, bucket, key = _split_url(self.url)
        try:
            if scheme == "gs":
                _hook(scheme).upload(bucket, key, data=text, mime_type="application/json")
            else:
                _hook(scheme).load_string(text, key, bucket, replace=True)
        except Exception as error:  # of the client library of the provider
            raise OSError(f"{self.url}: {error}") from error


@dataclass
class RecordedAreas:
    """Areas whose first listings are those that the record of the try has from before the load.

    Attributes:
        areas: The areas.
        listing: The first listings: `stage`, `ingesting` and `archive`.
        used: Areas whose recorded listing was already returned.
    """

    areas: StoreAreas
    listing: Mapping[str, Mapping[str, str]]
    used: set[str] = field(default_factory=set[str])

    def list_files(self, area: Literal["stage", "ingesting"], domain: str) -> Mapping[str, str] | None:
        """Returns the marks of the files of a domain by name."""
        if area in self.used:
            return self.areas.list_files(area, domain)
        self.used.add(area)
        return self.listing[area]

    def archived(self, domain: str, names: Collection[str]) -> Mapping[str, str] | None:
        """Returns the marks of the given files that are in `archive`; None if the project keeps no archive."""
        if "archive" in self.used:
            return self.areas.archived(domain, names)
        self.used.add("archive")
        return {name: mark for name, mark in self.listing["archive"].items() if name in names}


def store_areas(manifest: Mapping[str, Any], environ: Mapping[str, str]) -> StoreAreas | None:
    """Returns the areas that are in Cloud Storage or S3; None if they are elsewhere.

    Args:
        manifest: The manifest of the export.
        environ: `SL_ROOT` is the root of the project; `SL_DATASETS` replaces the directory of the data.
    """
    urls = area_urls(manifest, environ)
    found = {name: url.rstrip("/") for name, url in urls.items() if url.startswith(STORES)}
    return StoreAreas(found) if {"stage", "ingesting"} <= found.keys() else None


def files_in_store(url: str, patterns: Sequence[str], acks: Sequence[str] = ()) -> bool:
    """Whether a directory of an object store has a file that matches one of the patterns.

    Args:
        url: `gs://…` or `s3://…`; directories below it are ignored.
        patterns: Regular expressions of Java for whole file names.
        acks: Extensions of the ack files by the order of the patterns: a file counts if its ack file is next to it. An
            empty one = no ack file is needed.
    """
    names = {name for name, _ in _objects(f"{url.rstrip('/')}/")}
    return any(
        compile_java(pattern).fullmatch(name) and (not ack or ack_file_name(name, ack) in names - {name})
        for pattern, ack in zip(patterns, acks or [""] * len(patterns), strict=True)
        for name in names
    )


def _objects(url: str) -> Iterator[tuple[str, str]]:
    """Yields names and marks of the objects of a directory, without those of directories below it."""
    scheme, bucket, prefix = _split_url(url)
    hook = _hook(scheme)
    if scheme == "gs":
        for blob in hook.get_conn().list_blobs(bucket, prefix=prefix, delimiter="/"):
            if name := blob.name.rpartition("/")[2]:
                yield name, f"{blob.size}\0{blob.generation}"
        return
    paginator = hook.get_conn().get_paginator("list_objects_v2")
    for page in paginator.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
        for one in page.get("Contents", ()):
            if name := one["Key"].rpartition("/")[2]:
                yield name, f"{one['Size']}\0{one['ETag']} {one['LastModified']}"


def _hook(scheme: str) -> Any:
    if scheme == "gs":
        return import_module("airflow.providers.google.cloud.hooks.gcs").GCSHook()
    return import_module("airflow.providers.amazon.aws.hooks.s3").S3Hook()


def _split_url(url: str) -> tuple[str, str, str]:
    scheme, _, path = url.partition("://")
    bucket, _, key = path.partition("/")
    return "gs" if scheme == "gs" else "s3", bucket, key
