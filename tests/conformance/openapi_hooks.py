"""What schemathesis has to know that an OpenAPI document can not say.

Each hook names the rule that it stands for. None leaves out a check: they only keep cases that count as
valid from being invalid by a rule that the document states in words.
"""

import os

import schemathesis

NAME_BYTES_MAX = 128
EXACT_MAX = 1 << 53


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context, value):
    """JSON Lines as a body: text as it is, anything else as one line."""
    import json

    return value if isinstance(value, (str, bytes)) else json.dumps(value)


@schemathesis.hook
def before_load_schema(_context, document):
    """Narrows what depends on the server that runs, not on the interface."""
    schemas = document["components"]["schemas"]
    # A revision or era is one that the server has given; one far ahead of its clock is refused. The
    # small ones are of long ago.
    schemas["Revision"]["pattern"] = "^[0-9]{1,15}$"
    if os.environ["KIDOKU_IDS"] == "numeric":
        schemas["MessageId"] |= {"pattern": "^[1-9][0-9]{0,17}$", "maxLength": 18}
        schemas["IdText"]["oneOf"][0] |= {"pattern": "^[1-9][0-9]{0,17}$", "maxLength": 18}
    # The key of this run is for one app.
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "kidoku-app":
                    parameter["schema"] = {"type": "string", "enum": ["default"]}


def too_long(value):
    """Whether a name has at most 128 characters but more than 128 bytes."""
    if isinstance(value, str):
        return len(value) <= NAME_BYTES_MAX < len(value.encode("utf-8", "replace"))
    if isinstance(value, dict):
        return any(map(too_long, value.values()))
    if isinstance(value, list):
        return any(map(too_long, value))
    return False


def whole(value):
    """The same with whole numbers written as such: 3.0 is an integer to JSON Schema, and not to Kidoku,
    which takes no fraction or exponent where an id or a version must be exact."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_MAX:
        return int(value)
    if isinstance(value, dict):
        return {key: whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return value


def rule_over_two_fields(case):
    """Whether the case breaks a rule over two fields, which the document states in words."""
    body = case.body if isinstance(case.body, dict) else {}
    match case.operation.path:
        case "/v1/channels/{channel}":
            # A channel is not a thread of itself.
            return body.get("parent") == (case.path_parameters or {}).get("channel")
        case "/v1/roles/{role}/users":
            # Somebody has to get the role or lose it.
            return not body.get("add") and not body.get("remove")
        case "/v1/events":
            # A body has to be packed as its header says, and schemathesis packs nothing.
            return (case.headers or {}).get("Content-Encoding") in ("gzip", "zstd")
    return False


def unknown_era(case):
    """Whether an ack names an era that the server has not given. It gives them in its answers; before
    that only 0 is one."""
    era = case.body.get("era") if isinstance(case.body, dict) else None
    return isinstance(era, str) and era.isdecimal() and int(era) != 0


@schemathesis.hook
def filter_case(_context, case):
    """Leaves out what counts as valid and is not."""
    long = any(map(too_long, (case.path_parameters, case.query, case.body)))
    return not long and not rule_over_two_fields(case) and not unknown_era(case)


@schemathesis.hook
def map_case(_context, case):
    """Sends half of a device's valid requests to a channel that its user is in: elsewhere all of them
    are refused."""
    if case.operation.path.startswith("/v1/me/") and case.meta.generation.mode.is_positive:
        for fields in (case.body, case.path_parameters):
            if isinstance(fields, dict) and len(fields.get("channel") or "") % 2 == 1:
                fields["channel"] = "room"
    return case


@schemathesis.hook
def map_body(_context, body):
    """See `whole`."""
    return whole(body)
