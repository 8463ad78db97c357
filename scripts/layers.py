#!/usr/bin/env python3
"""Checks the floor plan: imports in src/ run downward only and in no circle, and each fact of a platform stands in its room.

    scripts/layers.py [ROOT]     prints every breach as FILE:LINE: what is wrong; exits with 1 if there is one

Three rules:

1. The folders of src/ are layers (LAYERS below, lowest first). A file imports from its own layer or from a lower one.
2. Within a layer no files import each other in a circle. A folder's mod.rs is its face: that it names the files of its own folder
   isn't counted, else every folder would be a circle.
3. A word that only one processor, kernel or C library understands stands in a room for it: src/sys/ in Rust, ROOMS in Go and C.
   What each platform has to supply is a list in docs/platforms.md, which is compared with the tree.

Comments and tests (`#[cfg(test)]`, tests.rs, testing.rs, *_test.go, tests/) are free of all three, but for a processor's name in a
build tag of a Go test: such a test would be lost on the next processor without a word.
"""

import itertools
import pathlib
import re
import sys

LAYERS = [["sys"], ["tables"], ["unwind"], ["record"], ["snapshot"], ["profile"], ["control"], ["hook", "ffi"]]
FLOOR = {name: floor for floor, names in enumerate(LAYERS) for name in names}
FACES = {"hook", "ffi"}  # side by side: neither imports the other

RUST_ROOM = "src/sys/"
RUST_WORDS = re.compile(
    r"\b(?:naked_|global_)?asm!|\btarget_(?:arch|env|os|pointer_width)\b|\bSYS_\w+|\b__libc_\w+|\b_dl_\w+"
    r"|\b(?:x86_64|aarch64|glibc|musl|linux)\b"
)
ROOMS = (  # Go and C below go/ and include/
    "go/internal/capi/",
    "go/internal/lib/",
    "go/internal/memory/reader_",  # what the kernel says of memory
    "go/interpose/",
    "include/cgoheap_platform.h",
)
GO_WORDS = re.compile(
    r"\b(?:amd64|arm64|x86_64|aarch64|musl|mallinfo2?|malloc_info|malloc_trim|gnu_get_libc_version)\b|__x86_64__|__aarch64__|__GLIBC__|\b__libc_\w+|^//go:build.*\b(?:linux|cgo)\b"
)
GO_FILE = re.compile(r"_(?:linux|darwin|windows|amd64|arm64)\.(?:go|c|h|s)$")

# What a platform supplies, one line each: `path` in a list of docs/platforms.md, with these words for the axes.
AXES = {"PROCESSOR": "src/sys/arch", "SYSTEM": "src/sys/os", "LIBC": "src/sys/libc"}

problems = []


def problem(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def code_of(path):
    """The text of a Rust, Go or C file without comments, strings and test modules, line for line."""
    text = path.read_text()
    blank = lambda match: re.sub(r"[^\n]", " ", match.group())
    if path.suffix == ".rs":
        # Everything from the first test module on: they stand at the end of a file.
        text = re.sub(r'(?:#\[cfg\((?:all\()?test\b[^\n]*\]\s*)(?:pub(?:\(crate\))? )?mod \w+ \{.*', blank, text, flags=re.S)
    build_tag = r"(?!//go:build)" if path.suffix == ".go" else ""
    return re.sub(rf'{build_tag}//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


# Rule 1 and 2: imports.


def paths(code, root):
    """Every path below `root` ("crate", "super", "self") in the code, with its line: crate::a::{b, c::d} is a::b and a::c::d."""

    def group(at):  # the alternatives inside { }, whose brace is at `at`
        names, depth, word = [], 0, ""
        for at in range(at, len(code)):
            if code[at] in "{":
                depth += 1
                if depth == 1:
                    continue
            if code[at] == "}":
                depth -= 1
            if depth == 0 or (depth == 1 and code[at] == ","):
                names.append(word.strip())
                word = ""
                if depth == 0:
                    break
            else:
                word += code[at]
        return [name for name in names if name]

    for match in re.finditer(rf"(?<![\w:])(?<!\$){root}::((?:\w+::)*)(\w+|\{{|\*)", code):
        line = code.count("\n", 0, match.start()) + 1
        ends = group(match.end() - 1) if match.group(2) == "{" else [match.group(2)]
        for end in ends:
            yield line, re.findall(r"\w+", match.group(1)) + re.findall(r"\w+", end.split(" as ")[0].split("{")[0])


def check_imports(root):
    source = root / "src"
    files = {}  # module path as a tuple -> file
    for path in sorted(source.rglob("*.rs")):
        name = path.relative_to(source).with_suffix("").parts
        files[name[:-1] if name[-1] == "mod" else name] = path
    files.pop(("lib",), None)  # the map of the house: it names every layer
    arrows = {}  # file -> file -> line of the first import

    for module, path in files.items():
        if path.stem in ("tests", "testing"):
            continue
        code = code_of(path)
        is_face = path.stem == "mod"
        parent = module[:-1]
        named = list(paths(code, "crate"))
        named += [(line, list(parent) + name) for line, name in paths(code, "super")]
        named += [(line, list(parent[:-1]) + name) for line, name in paths(code, "super::super")]
        named += [(line, list(module) + name) for line, name in paths(code, "self")]
        for line, name in named:
            if not name:
                continue
            if name[0] not in FLOOR:
                if name[0] not in ("CgoHeap", "Stats", "super") and len(parent) == 0:
                    problem(path.relative_to(root), line, f"crate::{name[0]} is no layer: name the module that has it")
                continue
            here, there = module[0], name[0]
            if FLOOR[there] > FLOOR[here] or (here != there and {here, there} <= FACES):
                problem(path.relative_to(root), line, f"upward import: {here} may not know {there} ({'::'.join(name)})")
                continue
            target = next((files[tuple(name[:n])] for n in range(len(name), 0, -1) if tuple(name[:n]) in files), None)
            own_folder = is_face and tuple(name[: len(module)]) == module
            if target is None or target == path or own_folder or target.stem in ("tests", "testing"):
                continue
            arrows.setdefault(path, {}).setdefault(target, line)

    # A circle is found by taking away, again and again, the files that import nothing that is left.
    left = {file: set(to) for file, to in arrows.items()}
    while done := [file for file in set(itertools.chain(left, *left.values())) if not left.get(file)]:
        left = {file: to - set(done) for file, to in left.items() if file not in done}
    for file, to in sorted(left.items()):
        for target in sorted(to):
            if reaches(left, target, file):
                problem(file.relative_to(root), arrows[file][target], f"circle of imports, by way of {target.relative_to(root)}")


def reaches(arrows, start, goal):
    seen, todo = set(), [start]
    while todo:
        file = todo.pop()
        if file == goal:
            return True
        if file not in seen:
            seen.add(file)
            todo.extend(arrows.get(file, ()))
    return False


# Rule 3: words of a platform.


def check_words(root):
    for path in sorted((root / "src").rglob("*")):
        name = str(path.relative_to(root))
        if path.suffix in (".rs", ".c", ".h") and not name.startswith(RUST_ROOM) and path.stem not in ("tests", "testing"):
            report_words(path, name, RUST_WORDS if path.suffix == ".rs" else GO_WORDS, RUST_ROOM)
    for folder in ("go", "include"):
        for path in sorted((root / folder).rglob("*")):
            name = str(path.relative_to(root))
            if path.suffix not in (".go", ".c", ".h", ".s", ".cpp") or name.startswith(ROOMS):
                continue
            if GO_FILE.search(name):
                problem(name, 1, f"the name of this file is a build tag: it belongs in one of {', '.join(ROOMS)}")
            if name.endswith("_test.go"):
                tag = re.search(r"^//go:build.*\b(amd64|arm64)\b", path.read_text(), flags=re.M)
                if tag:
                    problem(name, 1, f"{tag.group(1)} in a build tag: this test would be lost on the next processor")
                continue
            report_words(path, name, GO_WORDS, ", ".join(ROOMS))


def report_words(path, name, words, room):
    for number, line in enumerate(code_of(path).split("\n"), 1):
        for match in words.finditer(line):
            problem(name, number, f"{match.group().strip()!r} is a platform's word: it belongs in {room}")


def check_platforms(root):
    """docs/platforms.md lists what a platform supplies; the tree has these files for each, and no other."""
    document = root / "docs/platforms.md"
    if not document.exists():
        problem("docs/platforms.md", 1, "missing: it lists what a platform has to supply")
        return
    listed = re.findall(r"^- `(src/sys/(?:arch|os|libc)/[A-Z]+/[\w./]+)`", document.read_text(), flags=re.M)
    for word, folder in AXES.items():
        expected = {item.split(f"/{word}/", 1)[1] for item in listed if item.startswith(f"{folder}/{word}/")}
        if not expected:
            problem("docs/platforms.md", 1, f"lists no `{folder}/{word}/...`")
        for platform in sorted(path for path in (root / folder).glob("*") if path.is_dir()):
            there = {str(path.relative_to(platform)) for path in platform.rglob("*") if path.is_file()}
            for name in sorted(expected - there):
                problem(platform.relative_to(root), 1, f"lacks {name}, which docs/platforms.md lists")
            for name in sorted(there - expected):
                problem((platform / name).relative_to(root), 1, "isn't in the list of docs/platforms.md: another platform would forget it")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    check_imports(root)
    check_words(root)
    check_platforms(root)
    for text in problems:
        print(text)
    sys.exit(bool(problems))


main()
