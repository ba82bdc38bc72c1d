"""Creates boto3 clients, with boto3 imported on first use, and classifies their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.protocol import ErrorClass

__all__ = ["aws_client", "aws_error", "aws_resources", "classify_aws_error"]

_AGAIN = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "LimitExceededException",
    }
)
_WORDS = (
    "request limit exceeded",
    "requestlimitexceeded",
    "rate exceeded",
    "throttl",
    "too many requests",
    "reached the limit",
    "provisioning state has been reached",
    "capacity is unavailable",
    "service unavailable",
    "try again later",
)
"""Texts of transient errors with code 400: throttling of another service that ECS calls, limits of running tasks."""
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "NotAuthorized",
        "RequestExpired",
        "UnrecognizedClientException",
    }
)
_UNSENT = ("EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError")
_CREDENTIALS = (
    "CredentialRetrievalError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
)


def aws_client(service: str, region: str, profile: str | None, endpoint_url: str | None) -> Any:
    """Returns a client that makes one call per attempt: the caller decides whether to retry.

    Raises:
        RunnerError: When the profile does not exist.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 1, "mode": "standard"})
    try:
        session: Any = boto3.Session(profile_name=profile, region_name=region)
        return session.client(service, endpoint_url=endpoint_url, config=config)
    except BotoCoreError as error:
        raise RunnerError(f"AWS: {error}. Give another `profile`, or none where the machine has a role.") from error


def aws_error(error: Exception) -> str:
    """Returns the error code of an AWS response; "" for any other error."""
    return str(_answer(error, "Error").get("Code", ""))


def aws_resources(error: Exception) -> Sequence[str]:
    """Returns the ARNs that an AWS response names as the cause of a conflict."""
    return tuple(cast("Mapping[str, Any]", getattr(error, "response", None) or {}).get("resourceIds", ()))


def classify_aws_error(error: Exception) -> ErrorClass:
    """Classifies a failed call: whether it may be repeated, and whether it may have taken effect."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        code = aws_error(error)
        status = int(_answer(error, "ResponseMetadata").get("HTTPStatusCode", 400))
        if code in _AGAIN or status == 429:
            return ErrorClass("retry", f"AWS is throttling ({code}): {error}")
        if code in _DENIED or status in (401, 403):
            return ErrorClass("denied", f"AWS refused the call ({code}): {error}")
        if status < 500 and any(word in str(error).lower() for word in _WORDS):
            return ErrorClass("retry", f"AWS has no room or is throttling ({code}): {error}")
        return ErrorClass("ambiguous" if status >= 500 else "fatal", str(error))
    if isinstance(error, BotoCoreError):
        name = type(error).__name__
        if name in _CREDENTIALS:
            return ErrorClass("denied", f"AWS credentials: {error}")
        if name in _UNSENT:
            return ErrorClass("retry", str(error))
        sent = name.endswith(("TimeoutError", "ClosedError", "HTTPClientError", "ConnectionError"))
        return ErrorClass("ambiguous" if sent else "fatal", str(error))
    return ErrorClass("ambiguous" if isinstance(error, OSError) else "fatal", str(error))


def _answer(error: Exception, part: str) -> Mapping[str, Any]:
    response = cast("Mapping[str, Any]", getattr(error, "response", None) or {})
    return response.get(part, {})
