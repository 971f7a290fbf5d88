"""Invoke's entry point: the commands of nodelayer.cli in one namespace."""

from invoke import Collection, Task

from nodelayer.cli import github, layers, lookup, project, publish, sam, tour

namespace = Collection(
    *(
        each
        for module in (layers, publish, lookup, sam, tour, github, project)
        for each in vars(module).values()
        if isinstance(each, Task)
    )
)
