"""How hypothesis changes a valid file: bytes of any format, numbers of binary formats, values of JSON."""

import copy
import json

from hypothesis import strategies as st

_BYTES = [
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x80\0\0\0",
    b"9" * 20,
    b"\n",
    b"../",
]
_NUMBERS = [0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1]
_VALUES = [
    *("null", "true", "-1", "0", "0.1", "1e999", "NaN", "18446744073709551616", "9" * 5_000),
    *('""', '"x"', '"1.2.3"', '"24.1.0"', '"9999-99-99"', '"../../x"', '"__proto__"', '"\\ud800"'),
    *('"\\u0000\\u001b[31m\\n"', '"é"', '"*"', f'"{"A" * 100_000}"'),
    *("[]", "{}", "[[]]", "[null]", '{"a":1,"a":2}', '["*", 1]', "[" * 100_000 + "]" * 100_000, "[" * 5_000),
]
_share = st.floats(0, 1, exclude_max=True)

of_bytes = st.lists(
    st.tuples(
        st.sampled_from(["replace", "insert", "delete", "repeat", "move", "cut", "number"]),
        _share,
        _share,
        st.integers(1, 512),
        st.one_of(st.sampled_from(_BYTES), st.binary(min_size=1, max_size=8)),
        st.sampled_from(_NUMBERS),
    ),
    min_size=1,
    max_size=6,
)
of_json = st.lists(
    st.tuples(
        st.sampled_from(["set", "delete", "copy", "rename", "move"]), _share, _share, st.sampled_from(_VALUES)
    ),
    min_size=1,
    max_size=6,
)


def change_bytes(data, mutations):
    """Apply each mutation: what to do, where and from where (0 to 1), a length, bytes, and a number."""
    for what, share, other, length, new, number in mutations:
        at = int(share * len(data))
        if what == "replace":
            data = data[:at] + new + data[at + len(new) :]
        elif what == "insert":
            data = data[:at] + new + data[at:]
        elif what == "delete":
            data = data[:at] + data[at + length :]
        elif what == "repeat":
            data = data[:at] + data[at : at + length] * 3 + data[at + length :]
        elif what == "move":
            start = int(other * len(data))
            data = data[:at] + data[start : start + length] + data[at:]
        elif what == "number":  # 1 to 8 bytes, aligned, as binary formats have lengths and offsets
            size = 1 << length % 4
            at -= at % size
            packed = (number % (1 << 8 * size)).to_bytes(size, "big" if length & 4 else "little")
            data = data[:at] + packed + data[at + size :]
        else:
            data = data[:at]
    return data


def change_json(data, mutations):
    """Apply each mutation to a JSON document: what to do, with which value and which other, and new JSON."""
    document = copy.deepcopy(json.loads(data))
    texts = {}
    for what, share, other, text in mutations:
        places = list(_places(document))
        if not places:
            break
        (container, key), (_, second) = places[int(share * len(places))], places[int(other * len(places))]
        if what == "delete":
            del container[key]
        elif what == "copy" and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif what == "rename" and isinstance(container, dict):
            container[str(second)] = container.pop(key)
        elif what == "move":
            value = copy.deepcopy(container[key])
            container, key = places[int(other * len(places))]
            container[key] = value
        else:
            mark = f"mutant {len(texts)}"
            container[key] = mark
            texts[mark] = text
    changed = json.dumps(document, ensure_ascii=False)
    for mark, text in texts.items():
        changed = changed.replace(json.dumps(mark), text)
    return changed.encode()


def _places(value):
    """Yield each place in a document as its container and key."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
