"""Credentials and errors of the official `kubernetes` client, which is imported when it is used."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.protocol import ErrorClass

__all__ = ["TIMEOUT", "answer_of", "api_client", "classify_kubernetes_error", "current_namespace", "kubernetes_status"]

TIMEOUT = (5, 20)
"""Timeouts in seconds: for a connection, and for an answer."""
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LATER = ("exceeded quota", "try again later")
"""Messages of temporary rejections, such as those of an exceeded quota."""
_PERMISSION = re.compile(r'User ".*" cannot ')
"""Message of RBAC; admission rules return the same code with other messages."""
_UNSENT = ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "ProxyError")
_AMBIGUOUS = ("ProtocolError", "IncompleteRead", "ReadTimeoutError", "TimeoutError", "DecodeError")


def api_client(kubeconfig_file: str | None, context: str | None, load_incluster_config: bool | None) -> Any:
    """Returns a client without retries; the process-wide configuration of the library is not changed.

    Args:
        kubeconfig_file: Path of a kubeconfig; `KUBECONFIG` or `~/.kube/config` by default.
        context: Its context; the current one by default.
        load_incluster_config: Whether the credentials of the Pod are used; by default if this process runs in one
            and neither a file nor a context is given.

    Raises:
        RunnerError: When there are no credentials.
    """
    from kubernetes import client, config

    clients, loading = cast("tuple[Any, Any]", (client, config))
    configuration: Any = clients.Configuration()
    try:
        if is_in_cluster(kubeconfig_file, context, load_incluster_config):
            loading.load_incluster_config(client_configuration=configuration)
        else:
            loading.load_kube_config(
                config_file=kubeconfig_file, context=context, client_configuration=configuration, persist_config=False
            )
    except (loading.ConfigException, OSError) as error:
        raise RunnerError(
            f"Kubernetes: there are no credentials: {error}. Give `kubeconfig_file` and `context`, or run in a Pod "
            "with a service account (`load_incluster_config`)."
        ) from error
    configuration.retries = False
    if getattr(configuration, "no_proxy", None) is None:  # the library ignores the environment variable
        configuration.no_proxy = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    return clients.ApiClient(configuration)


def is_in_cluster(kubeconfig_file: str | None, context: str | None, load_incluster_config: bool | None) -> bool:
    """Whether the credentials of the Pod of this process are used."""
    if load_incluster_config is not None:
        return load_incluster_config
    return kubeconfig_file is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ


def current_namespace(kubeconfig_file: str | None, context: str | None, load_incluster_config: bool | None) -> str:
    """Returns the namespace of the Pod of this process, or of the context of the kubeconfig; else `default`."""
    if is_in_cluster(kubeconfig_file, context, load_incluster_config):
        path = _SERVICE_ACCOUNT / "namespace"
        return path.read_text(encoding="utf-8").strip() if path.exists() else "default"
    from kubernetes import config

    loading: Any = config
    try:
        contexts, current = loading.list_kube_config_contexts(config_file=kubeconfig_file)
    except (loading.ConfigException, OSError):
        return "default"  # `api_client` reports missing credentials
    named = [one for one in contexts if one["name"] == context] if context else [current]
    found: Mapping[str, Any] = named[0]["context"] if named else {}
    return str(found.get("namespace") or "default")


def answer_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a method of the client, and returns the object of its answer as plain data."""
    response = call(*args, **kwargs, _preload_content=False, _request_timeout=TIMEOUT)
    return json.loads(response.data)


def kubernetes_status(error: BaseException) -> Mapping[str, Any]:
    """Returns the `Status` (`code`, `reason`, `message`) of an error response of the API server; else empty."""
    found: BaseException | None = error
    while found is not None and not hasattr(found, "status"):
        found = found.__context__  # for an answer without a body the library raises another error
    code = getattr(found, "status", None)
    if found is None or not isinstance(code, int):
        return {}
    body = getattr(found, "body", None)
    known = _object(body)
    reason = known.get("reason") or getattr(found, "reason", "") or ""
    message = str(known.get("message") or body or reason)
    return {**known, "code": code, "reason": str(reason), "message": message, "retry_after": _retry_after(found)}


def _retry_after(error: BaseException) -> float:
    """Returns the seconds of the header `Retry-After`; 0 if there is none."""
    headers: Any = getattr(error, "headers", None)
    value = str(headers.get("Retry-After") or "") if headers else ""
    return float(value) if value.isdecimal() else 0


def _object(body: str | None) -> Mapping[str, Any]:
    try:
        parsed: Any = json.loads(body or "{}")
    except ValueError:  # an answer of a proxy, not of the API server
        return {}
    return cast("Mapping[str, Any]", parsed) if isinstance(parsed, dict) else {}


def classify_kubernetes_error(error: Exception) -> ErrorClass:
    """Classifies the error of a call: whether to repeat it, and whether it may have taken effect."""
    status = kubernetes_status(error)
    if status:
        return replace(_answered(status), retry_after=status["retry_after"])
    names = [one.__name__ for one in type(error).__mro__]
    if any(name in _UNSENT for name in names):
        return ErrorClass("retry", f"the API server cannot be reached: {error}")
    if any(name in _AMBIGUOUS for name in names) or isinstance(error, OSError):
        return ErrorClass("ambiguous", f"the API server did not answer: {error}")
    return ErrorClass("fatal", f"{type(error).__name__}: {error}")


def _answered(status: Mapping[str, Any]) -> ErrorClass:
    code, reason, message = int(status["code"]), str(status["reason"]), str(status["message"])
    text = f"{message} ({code} {reason})".strip()
    if code == 0:
        return ErrorClass("fatal", f"the connection to the API server is not secure: {message}")
    if code == 401:
        return ErrorClass("denied", f"the credentials are expired or not known: {text}")
    if code in (403, 422) and any(word in message.lower() for word in _LATER):
        return ErrorClass("retry", f"there is no room at the moment: {text}")
    if code == 403 and _PERMISSION.search(message):
        return ErrorClass("denied", f"a permission is missing: {text}")
    if code in (403, 422) or (code == 400 and "admission webhook" in message):
        return ErrorClass("fatal", f"the API server refused it: {text}")
    if code == 429:
        return ErrorClass("retry", f"the API server is throttling: {text}")
    if code in (409, 410):
        return ErrorClass("retry", f"it changed in the meantime: {text}")
    return ErrorClass("ambiguous" if code >= 500 else "fatal", text)
