"""Requests and answers of a rest-json service, read and checked by botocore's model of it.

Routes, required members, patterns, lengths, enumerations, pages and error shapes come from the model that is
installed, so a server that is built on this follows botocore when it changes.
"""

import base64
import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.loaders import Loader
from botocore.model import ServiceModel

_CLASSES = {
    r"\p{C}": r"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff",
    r"\p{L}": r"A-Za-z\u00aa-\uffff",
    r"\p{N}": r"\d",
    r"\p{Z}": r"\s",
}
"""What Python's regular expressions have instead of the classes of Unicode in AWS's patterns."""
GENERAL = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "UnrecognizedClientException": 403,
    "SerializationException": 400,
    "ValidationException": 400,
    "UnknownOperationException": 404,
}
"""Errors that each service of AWS gives, and that no model names."""


class Refusal(Exception):  # noqa: N818 - AWS refuses
    """An error that an operation answers with. `headers` go into the head."""

    def __init__(self, code, message="", **headers):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message or code
        self.headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}


class Service:
    """One service. `invalid` is the error that a value gives which the model forbids."""

    def __init__(self, name, invalid="InvalidParameterValueException"):
        loader = Loader()
        self.name = name
        self.model = ServiceModel(loader.load_service_model(name, "service-2"), name)
        self._pages = loader.load_service_model(name, "paginators-1")["pagination"]
        self._invalid = invalid
        self._routes = [
            (operation.http["method"], _pattern(operation.http["requestUri"]), operation)
            for operation in map(self.model.operation_model, self.model.operation_names)
        ]
        # A path with fewer variables is the better match: /runtimes/x/restore is no GetRuntime.
        self._routes.sort(key=lambda route: route[1].groups)

    def find(self, method, target):
        """The operation of a request with its variables, or None."""
        path = urlsplit(target).path.rstrip("/")
        for verb, pattern, operation in self._routes:
            if verb == method and (found := pattern.fullmatch(path)):
                return operation, {name: unquote(value) for name, value in found.groupdict().items()}
        return None

    def read(self, operation, variables, target, headers, body):
        """The members of a request. Raises Refusal if the model forbids them."""
        shape = operation.input_shape
        if shape is None:
            return {}
        payload = shape.serialization.get("payload")
        document = {} if payload else _document(body)
        query = parse_qs(urlsplit(target).query, keep_blank_values=True)
        given = {
            "uri": variables.get,
            "querystring": lambda key: query.get(key, [None])[0],
            "header": lambda key: headers.get(key.lower()),
            None: lambda key: document.pop(key, None),
        }
        members = {}
        for name, member in shape.members.items():
            location = member.serialization.get("location")
            value = body if name == payload else given[location](member.serialization.get("name", name))
            if value is not None:
                members[name] = _converted(member, value) if location else value
        if document:
            raise Refusal("SerializationException", f"unknown members {sorted(document)}")
        self.check(shape, members)
        return members

    def check(self, shape, value, where=""):
        """Raises Refusal unless the value is one of the shape."""
        if problem := _problem(shape, value, where):
            raise Refusal(self._invalid, f"1 validation error detected: {problem}")

    def page(self, operation, members, items, default):
        """The answer of a list: one page of the items, all of which are given."""
        pages = self._pages[operation.name]
        begin = int(members.get(pages["input_token"], 0))
        size = members.get(pages["limit_key"], default)
        answer = {pages["result_key"]: items[begin : begin + size]}
        if begin + size < len(items):
            answer[pages["output_token"]] = str(begin + size)
        return answer

    def lists(self, operation):
        """Whether the operation answers in pages."""
        return operation.name in self._pages

    def answer(self, operation, members):
        """Status, headers and body of an answer. A member that the model does not know is an error here."""
        shape = operation.output_shape
        status, headers, body = operation.http.get("responseCode", 200), {}, b""
        if shape is None:
            return status, headers, body
        assert not set(members) - set(shape.members), (operation.name, members)
        assert not (problem := _problem(shape, members, "")), (operation.name, problem)
        payload = shape.serialization.get("payload")
        document = {}
        for name, value in members.items():
            member = shape.members[name]
            location = member.serialization.get("location")
            key = member.serialization.get("name", name)
            if name == payload:
                body = value
            elif location == "header":
                headers[key] = str(value)
            elif location == "statusCode":
                status = value
            else:
                document[key] = value
        if payload is None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document, default=_encoded).encode()
        return status, headers, body

    def refuse(self, operation, refusal):
        """Status, headers and body of an error that the operation declares, or that any service gives."""
        shapes = {shape.name: shape for shape in operation.error_shapes} if operation else {}
        shape = shapes.get(refusal.code)
        assert shape or refusal.code in GENERAL, f"{operation.name} declares no {refusal.code}"
        status = shape.metadata["error"]["httpStatusCode"] if shape else GENERAL[refusal.code]
        key = next(
            (name for name in (shape.members if shape else ()) if name.lower() == "message"), "Message"
        )
        document = {key: refusal.message, "Type": "User" if status < 500 else "Service"}
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": refusal.code, **refusal.headers}
        return status, headers, json.dumps(document).encode()


def _document(body):
    try:
        return json.loads(body or b"{}")
    except ValueError:
        raise Refusal("SerializationException", "the body is not JSON") from None


def _pattern(uri):
    uri = uri.partition("?")[0].rstrip("/")
    parts = re.split(r"\{(\w+)(\+?)\}", uri)
    text = re.escape(parts[0])
    for name, greedy, literal in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        text += f"(?P<{name}>{'.+' if greedy else '[^/]+'})" + re.escape(literal)
    return re.compile(text)


def _converted(shape, text):
    if shape.type_name in {"integer", "long"}:
        try:
            return int(text)
        except ValueError:
            return text
    return {"true": True, "false": False}.get(text, text) if shape.type_name == "boolean" else text


def _encoded(value):
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


_TYPES = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "double": (int, float),
    "float": (int, float),
    "blob": (str, bytes),
    "timestamp": (str, int, float),
}


def _problem(shape, value, where):  # noqa: PLR0911 - one for each constraint
    """Say in AWS's words what the model forbids about a value, or return an empty string."""
    kind = shape.type_name
    if not isinstance(value, _TYPES[kind]) or (kind in {"integer", "long"} and isinstance(value, bool)):
        return f"Value at '{where}' failed to satisfy constraint: Member must be a {kind}"
    if kind == "structure":
        return _of_structure(shape, value, where)
    if kind == "list":
        return _first(_problem(shape.member, each, f"{where}.{at}") for at, each in enumerate(value))
    if kind == "map":
        return _first(_problem(shape.value, each, f"{where}.{key}") for key, each in value.items())
    told = f"Value '{value}' at '{where}' failed to satisfy constraint: "
    if getattr(shape, "enum", None) and value not in shape.enum:
        return f"{told}Member must satisfy enum value set: {shape.enum}"
    limits = shape.metadata
    size = len(value) if isinstance(value, (str, bytes)) else value
    unit = "have length" if isinstance(value, (str, bytes)) else "have value"
    if "min" in limits and size < limits["min"]:
        return f"{told}Member must {unit} greater than or equal to {limits['min']}"
    if "max" in limits and size > limits["max"]:
        return f"{told[:200]} Member must {unit} less than or equal to {limits['max']}"
    pattern = limits.get("pattern")
    for name, characters in _CLASSES.items():
        pattern = pattern and pattern.replace(name, characters)
    if pattern and not re.fullmatch(pattern, value):
        return f"{told}Member must satisfy regular expression pattern: {pattern}"
    return ""


def _of_structure(shape, value, where):
    for name in shape.required_members:
        if value.get(name) is None:
            return f"Value null at '{where}.{name}' failed to satisfy constraint: Member must not be null"
    for name in value:
        if name not in shape.members:
            return f"Value at '{where}.{name}' is unknown"
    return _first(
        _problem(shape.members[name], each, f"{where}.{name}".strip(".")) for name, each in value.items()
    )


def _first(problems):
    return next(filter(None, problems), "")
