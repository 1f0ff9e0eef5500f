"""Where the packages of pyproject.toml go: in a wheel below `skald`, in an editable install as they stand here."""

import sys

from setuptools import find_namespace_packages, setup

ROOMS = ("domain", "store", "projections", "api", "console", "workers", "cli")
packages = find_namespace_packages(include=[*ROOMS, *(f"{room}.*" for room in ROOMS)])

if "editable_wheel" in sys.argv:
    setup(packages=["skald", *packages])
else:
    setup(
        packages=["skald", *(f"skald.rooms.{package}" for package in packages)],
        package_dir={f"skald.rooms.{room}": room for room in ROOMS},
    )
