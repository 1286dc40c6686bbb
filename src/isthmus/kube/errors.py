"""What can go wrong with an API server, each as one sentence that names the server and the object."""

from typing import Final


class KubeError(Exception):
    """Base of everything this room raises; `str()` is a sentence for a person."""


class ConfigError(KubeError):
    """The kubeconfig, its context or its credentials cannot be used."""


class Unreachable(KubeError):
    """No answer: refused, timed out, broken TLS, or the name does not resolve."""


class Untrusted(Unreachable):
    """Somebody answers, with a certificate that the kubeconfig does not vouch for."""


class ApiError(KubeError):
    """The API server answered with a failure."""

    def __init__(self, sentence: str, *, code: int, reason: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.reason = reason


class Invalid(ApiError):
    """400 or 422: the object is not acceptable as it is."""


class Unauthorized(ApiError):
    """401: the credentials are not known there (expired, rotated, or of another cluster)."""


class Forbidden(ApiError):
    """403: known, but without the permission."""


class NotFound(ApiError):
    """404: the object, or its whole kind, does not exist."""


class Conflict(ApiError):
    """409: somebody else changed it first, or another field manager owns a field."""


class AlreadyExists(Conflict):
    """409 on create."""


class Gone(ApiError):
    """410: the resource version is too old to continue from."""


class TooManyRequests(ApiError):
    """429: the API server sheds load."""


_BY_CODE: Final[dict[int, tuple[type[ApiError], str]]] = {
    400: (Invalid, "{server} does not accept {about}: {message}"),
    401: (Unauthorized, "{server} does not accept the credentials (asked for {about}): {message}"),
    403: (Forbidden, "{server} forbids to {verb} {about}: {message}"),
    404: (NotFound, "{about} does not exist in {server}: {message}"),
    409: (Conflict, "{about} was changed by somebody else in {server}: {message}"),
    410: (Gone, "{server} no longer has the history of {about}: {message}"),
    422: (Invalid, "{server} does not accept {about}: {message}"),
    429: (TooManyRequests, "{server} is overloaded (asked for {about}): {message}"),
}


def api_error(code: int, *, reason: str, message: str, server: str, about: str, verb: str) -> ApiError:
    """The error for an HTTP status and the `reason` and `message` of its Kubernetes Status."""
    kind, sentence = _BY_CODE.get(code, (ApiError, "{server} failed with {code} to {verb} {about}: {message}"))
    if reason == "AlreadyExists":
        kind, sentence = AlreadyExists, "{about} already exists in {server}: {message}"
    text = sentence.format(
        server=server, about=about, verb=verb, code=code, message=message.strip() or reason or "no reason given"
    )
    return kind(text, code=code, reason=reason)
