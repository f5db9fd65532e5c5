#!/usr/bin/env python3
"""Prints the licences of all crates that are part of a program, as these demand: `scripts/notices.py dictrack-cli`."""

import json
import re
import subprocess
import sys
from pathlib import Path

# Also in the folders of C code that a crate contains.
NOTICE = re.compile(r"(un)?(licen[cs]e|copying|copyright|notice)[-_.a-z0-9]*", re.IGNORECASE)
CODE = {".c", ".h", ".html", ".json", ".py", ".rs", ".toml", ".yml"}

root = Path(__file__).resolve().parent.parent


def cargo(*command: str) -> str:
    return subprocess.check_output(["cargo", *command], cwd=root, text=True)


# `cargo tree` knows which crates are linked: not those that only macros, build scripts and tests use.
tree = cargo("tree", "-p", sys.argv[1], "--edges", "normal,no-proc-macro", "--prefix", "none")
linked = {tuple(line.split()[:2]) for line in tree.splitlines()}
packages = json.loads(cargo("metadata", "--format-version", "1", "--locked"))["packages"]

crates_of = {}
for package in packages:
    if package["source"] is None or (package["name"], f"v{package['version']}") not in linked:
        continue
    folder = Path(package["manifest_path"]).parent
    paths = sorted(path for path in folder.rglob("*") if NOTICE.fullmatch(path.name) and path.suffix not in CODE)
    texts = [path.read_text(errors="replace").strip() for path in paths if path.is_file()]
    if not texts:
        texts = [f"Licence: {package['license']}. Authors: {', '.join(package['authors'])}."]
    for text in texts:
        crates_of.setdefault(text, []).append(f"{package['name']} {package['version']}")

print("dictrack contains code from these Rust crates, under their licences:")
for text, crates in sorted(crates_of.items(), key=lambda entry: sorted(entry[1])):
    print(f"\n{'-' * 80}\n{', '.join(sorted(crates))}\n\n{text}")
