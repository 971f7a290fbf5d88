"""Build, deploy and delete a function on a layer with SAM."""

import os
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nodelayer.aws.account import Account
from nodelayer.errors import NodelayerError, RefusedError
from nodelayer.layer import artifact
from nodelayer.project_paths import PROGRAM
from nodelayer.sam import stack
from nodelayer.sam.function import Function
from nodelayer.sam.program import SamProgram
from nodelayer.sam.stack import StackOptions, StackTarget

FUNCTION = "Function"


class StoppedError(NodelayerError):
    """The user stopped a command while CloudFormation continues."""

    code = 130


@dataclass(frozen=True)
class SamApplication:
    """The folder with template.yaml and samconfig.toml, and how SAM is found when it is needed.

    `finish` gets the folder of each built function, before it is deployed.
    """

    root: Path
    find_program: Callable[[], SamProgram]
    finish: Callable[[Path], object] | None = None

    @cached_property
    def program(self) -> SamProgram:
        """The `sam` program; it is installed on first use if necessary."""
        return self.find_program()

    def build(self, function: Function, options: StackOptions, layer: Path | None, out: Path) -> None:
        """Run `sam build` with the zip of a layer; None if the layer is already published."""
        template = self.root / "template.yaml"
        # SAM uploads the content of a layer even if a condition leaves the layer out of the stack.
        content = layer or self.root / "function"
        with tempfile.TemporaryDirectory(prefix="nodelayer-sam-") as folder:
            rendered = Path(folder) / template.name
            rendered.write_text(function.render(template.read_text("utf-8"), content), "utf-8")
            line = ["build", f"--template-file={rendered}", f"--base-dir={self.root}", f"--build-dir={out}"]
            self._run(*line, *_overrides(options), variables=function.variables)
        if self.finish is not None:
            self.finish(out / FUNCTION)

    def local_invoke(self, out: Path, event: Path) -> str:
        """Return a command that runs the built function on this machine."""
        files = [shlex.quote(os.path.relpath(path)) for path in (out / "template.yaml", event)]
        return f"{self.program.command} local invoke {FUNCTION} --template {files[0]} --event {files[1]}"

    def deploy(
        self,
        function: Function,
        options: StackOptions,
        layer: Path | None,
        target: StackTarget,
        account: Account,
    ) -> Mapping[str, str]:
        """Build and deploy without asking for confirmation, and return the outputs of the stack.

        Raises:
            RefusedError: The stack or the layer cannot be used. Nothing is built or changed.
            NodelayerError: The build or the deployment failed.
        """
        region = account.region(target.region)
        stack.check_deployable(target, region.stacks.get(target.stack))
        if options.layer_arn:
            stack.check_layer(options, account)
        with tempfile.TemporaryDirectory(prefix="nodelayer-sam-") as folder:
            self.build(function, options, layer, Path(folder) / "build")
            flags = [
                "--capabilities=CAPABILITY_IAM",
                "--no-confirm-changeset",
                "--no-fail-on-empty-changeset",
                f"--s3-prefix={target.stack}",
            ]
            line = ["deploy", f"--template-file={folder}/build/template.yaml", *flags]
            self._run_on_stack(target, *line, *_overrides(options))
        return stack.check_ours(target, region.stacks.get(target.stack)).outputs

    def delete(self, target: StackTarget, account: Account) -> None:
        """Delete the stack and the files that were uploaded for it.

        Raises:
            RefusedError: The stack still exists.
        """
        self._run_on_stack(target, "delete", "--no-prompts")
        region = account.region(target.region)
        if (
            remaining := region.stacks.get(target.stack)
        ) is not None and remaining.status != "DELETE_COMPLETE":
            raise RefusedError(
                f"the stack is not deleted: its status is {remaining.status}",
                where=str(target),
                todo=region.stacks.failure(target.stack) or "see the AWS console",
            )

    def logs(self, target: StackTarget, *, tail: bool) -> None:
        """Print the log of the function to standard output."""
        line = ["logs", f"--name={FUNCTION}", *target.sam_flags, *(["--tail"] if tail else [])]
        self._run(*line, to_stdout=True)

    def _run_on_stack(self, target: StackTarget, *line: str) -> None:
        try:
            self._run(*line, *target.sam_flags)
        except KeyboardInterrupt:
            raise StoppedError(
                "stopped, but CloudFormation continues the operation",
                where=str(target),
                todo=f"when it ends, run {PROGRAM} destroy {target.our_flags} to delete the stack",
            ) from None

    def _run(self, *line: str, variables: Mapping[str, str] | None = None, to_stdout: bool = False) -> None:
        config = f"--config-file={self.root / 'samconfig.toml'}"
        self.program.run([*line, config], variables=variables, to_stdout=to_stdout)


def built_layer(spec: str, architecture: str, out: Path) -> artifact.Artifact:
    """Return a built layer.

    Raises:
        NotFoundError: No built layer matches.
    """
    (found,) = artifact.built(spec or "latest", [architecture], out)
    return found


def _overrides(options: StackOptions) -> list[str]:
    """Return the parameters as `sam` expects them. StackOptions ensures that no value needs quoting."""
    return ["--parameter-overrides", *(f'{name}="{value}"' for name, value in options.parameters.items())]
