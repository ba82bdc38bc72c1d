"""Creates clients of Google Cloud, with their packages imported on first use, and classifies their errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.protocol import ErrorClass

__all__ = ["CALL", "classify_gcp_error", "gcp_client", "gcp_credentials", "gcp_http_client"]

_T = TypeVar("_T")
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)

CALL: dict[str, Any] = {"retry": None, "timeout": 15}
"""Arguments of every call: the clients' own retries would take up to fifteen minutes and delay cancellation."""


def gcp_credentials(impersonate: str | None) -> Any:
    """Returns application default credentials, or those of a service account that they may impersonate.

    Args:
        impersonate: E-mail address of the service account.

    Raises:
        RunnerError: When there are no credentials.
    """
    import google.auth
    from google.auth import impersonated_credentials
    from google.auth.exceptions import DefaultCredentialsError

    try:
        default: Any = cast("Any", google.auth).default(scopes=_SCOPES)[0]
    except DefaultCredentialsError as error:
        advice = "Run `gcloud auth application-default login`, or give the machine a service account."
        raise RunnerError(f"Google Cloud credentials: {error} {advice}") from error
    if impersonate is None:
        return default
    return impersonated_credentials.Credentials(
        source_credentials=default, target_principal=impersonate, target_scopes=list(_SCOPES)
    )


def gcp_client(kind: type[_T], *, endpoint: str | None, local: bool, impersonate: str | None) -> _T:
    """Returns a client.

    Args:
        kind: Class of the client, of a gRPC service.
        endpoint: `host:port`; the service's own by default.
        local: Whether the endpoint is the user's own server, without TLS and credentials.
        impersonate: Service account to act as.
    """
    make: Any = kind
    if local:
        import grpc

        transport = make.get_transport_class("grpc")
        return make(transport=transport(channel=grpc.insecure_channel(endpoint or "localhost:443")))
    options = {"api_endpoint": endpoint} if endpoint else {}
    return make(credentials=gcp_credentials(impersonate), client_options=options)


def gcp_http_client(kind: type[_T], *, project: str | None, endpoint: str | None, impersonate: str | None) -> _T:
    """Returns a client of an HTTP service, such as Cloud Storage or BigQuery.

    Args:
        kind: Class of the client.
        project: Google Cloud project; that of the credentials by default.
        endpoint: URL of the user's own server, without credentials; the service's own by default.
        impersonate: Service account to act as.
    """
    make: Any = kind
    if endpoint is None:
        return make(project=project, credentials=gcp_credentials(impersonate))
    from google.auth.credentials import AnonymousCredentials

    anonymous: Any = AnonymousCredentials
    return make(project=project, credentials=anonymous(), client_options={"api_endpoint": endpoint})


def classify_gcp_error(error: Exception, *, quota: Sequence[str] = ("quota", "rate limit", "exhausted")) -> ErrorClass:
    """Classifies a failed call: whether it may be repeated, and whether it may have taken effect."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    text = str(getattr(error, "message", "") or error)
    if isinstance(error, (api.ResourceExhausted, api.TooManyRequests)):
        names_quota = any(word in text.lower() for word in quota)
        return ErrorClass("retry", text if names_quota else f"quota: {text}")
    if isinstance(error, api.Aborted):
        return ErrorClass("retry", text)
    if isinstance(error, (api.ServerError, api.RetryError, api.Cancelled)):
        return ErrorClass("ambiguous", text)
    if isinstance(error, (api.Forbidden, api.Unauthorized)):
        return ErrorClass("denied", f"{type(error).__name__}: {text} Check the permissions of the service account.")
    if isinstance(error, api.GoogleAPICallError):
        return ErrorClass("fatal", f"{type(error).__name__}: {text}")
    if isinstance(error, auth.TransportError):
        return ErrorClass("retry", text)
    if isinstance(error, auth.GoogleAuthError):
        return ErrorClass("denied", f"Google Cloud credentials: {text}")
    return ErrorClass("ambiguous" if isinstance(error, OSError) else "fatal", text)
