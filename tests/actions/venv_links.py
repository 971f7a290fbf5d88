"""A virtual environment at another place, in a moment: links to the files of one that exists."""

import os
import re
import shutil


def link(ready, folder):
    """Make a .venv of links to another; what names a folder is a copy that names this one."""
    own, other = folder / ".venv", ready / ".venv"
    renamed = [os.fsencode(ready)]
    if (ready / "origin").exists():  # of the checkout that is installed there
        renamed.append((ready / "origin").read_bytes())
    # In one pass: a path may begin with the text of another.
    names = re.compile(rb"(?:" + b"|".join(map(re.escape, renamed)) + rb")(?![\w.-])")
    (packages,) = other.glob("lib/*/site-packages")
    for source in (other, other / "bin", packages):
        target = own / source.relative_to(other)
        target.mkdir(parents=True, exist_ok=True)
        for file in source.iterdir():
            put = target / file.name
            if file in {packages.parent.parent, other / "bin"}:
                continue
            if file.is_dir() and "nodelayer" in file.name:
                shutil.copytree(file, put)
            elif file.is_dir() or (file.is_symlink() and source.name != "bin"):
                put.symlink_to(file)
            elif file.is_symlink():
                put.symlink_to(file.readlink())
            elif (source == packages and "nodelayer" not in file.name) or b"\0" in (
                data := file.read_bytes()
            ):
                put.symlink_to(file)
            else:
                put.write_bytes(names.sub(lambda _: os.fsencode(folder), data))
                put.chmod(file.stat().st_mode)
    (own / ".made-from-pyproject").unlink(missing_ok=True)
    (own / ".made-from-pyproject").touch()
