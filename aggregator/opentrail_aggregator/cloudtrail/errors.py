"""Errors as AWS names them: a code that clients catch by, a message for people, a status."""

COMMON = frozenset(
    {
        "AccessDeniedException",
        "InternalFailure",
        "SerializationException",
        "ServiceUnavailable",
        "ThrottlingException",
        "UnknownOperationException",
        "ValidationException",
    }
)
"""Codes that any operation may answer with; AWS's model of an operation leaves them out."""


class ApiError(Exception):
    """What a caller is told; never anything of how it works inside."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def unavailable(message: str) -> ApiError:
    """It cannot be answered now; clients try again by themselves."""
    return ApiError("ServiceUnavailable", message, 503)
