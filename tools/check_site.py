"""Checks the site: every public name, two clicks, no request that leaves it.

python tools/check_site.py site
"""

import importlib
import inspect
import pathlib
import pkgutil
import re
import sys
import zlib

import keras_sgt

CLICKS = 2
# Modules that are not public, though they can be imported.
PRIVATE = (
    *("__main__", "backend", "checks", "command_files", "files"),
    *("introspection", "training", "version"),
)
LINK = re.compile(r'<a [^>]*href="([^":#?]+\.html)')
REQUEST = re.compile(
    r'<(?:script|img|iframe)[^>]+src="https?:[^"]*"'
    r'|<link[^>]+rel="(?:stylesheet|preload|icon)"[^>]+href="https?:[^"]*"'
)


def public_names():
    """`keras_sgt.compare`, `keras_sgt.masking.FeatureMasking`, ..."""
    modules = [keras_sgt]
    for found in pkgutil.iter_modules(keras_sgt.__path__):
        if found.name not in PRIVATE:
            modules.append(importlib.import_module(f"keras_sgt.{found.name}"))
    for module in modules:
        own = [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__
            and not name.startswith("_")
        ]
        for name in getattr(module, "__all__", own):
            if not inspect.ismodule(getattr(module, name)):
                yield f"{module.__name__}.{name}"


def documented_names(site):
    """The names in Sphinx's inventory: four lines, then a compressed list."""
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(inventory).decode().splitlines()
    return {line.split()[0] for line in lines if " py:" in line}


def far_pages(site):
    """Pages that are more than two clicks from the start."""
    start = (site / "index.html").resolve()
    reached, edge = {start}, {start}
    for _ in range(CLICKS):
        edge = {
            target
            for page in edge
            for link in LINK.findall(page.read_text())
            if (target := (page.parent / link).resolve()).exists()
        } - reached
        reached |= edge
    # The field on every page leads to the search.
    reached.add((site / "search.html").resolve())
    return {page.resolve() for page in site.rglob("*.html")} - reached


def remote_requests(site):
    for page in site.rglob("*.html"):
        for request in REQUEST.findall(page.read_text()):
            yield f"{page.name}: {request}"
    for style in site.rglob("*.css"):
        for url in re.findall(r"url\([\"']?https?:[^)]*", style.read_text()):
            yield f"{style.name}: {url}"


def main(site):
    names = set(public_names())
    problems = [
        *(f"not in the reference: {n}" for n in names - documented_names(site)),
        *(f"more than {CLICKS} clicks away: {p}" for p in far_pages(site)),
        *(f"a remote request: {r}" for r in remote_requests(site)),
    ]
    print(f"{len(names)} public names, {len(problems)} problems")
    sys.exit("\n".join(sorted(problems)) or 0)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
