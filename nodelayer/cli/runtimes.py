"""Commands for customer-managed Lambda runtimes: publish-runtime."""

import json as jsons
import os
from pathlib import Path

from invoke import Context

from nodelayer.cli.command import COMMAS, MANIFEST, PROFILE, REGIONS, SPEC, command
from nodelayer.cli.publish import canary_options, exit_with_code, print_unless, publish_target, run_report
from nodelayer.errors import InvalidInputError


@command(
    help={
        "node": f"{SPEC}{COMMAS}; the newest built image that matches is published",
        "built": "publish every image in --out, instead of --node",
        "regions": REGIONS,
        "dry-run": "print the plan and publish nothing; read permissions are enough",
        "out": "folder with the images of build-image (default: dist)",
        "organization-id": "let an AWS Organization use the runtimes, for example o-a1b2c3d4e5; AWS refuses "
        "public runtimes",
        "account-id": "let these AWS accounts use the runtimes; separate several IDs with commas",
        "canary": "regions, separated by commas, where functions are started on each new version, by the "
        "alias canary, before other aliases are set anywhere; if one fails, none is set (exit code 8). "
        "any: AWS_REGION, or the first of the regions by name",
        "canary-role": "ARN of the execution role of the canary's functions (default: the account's role "
        "nodelayer-canary)",
        "json": "print the result as JSON; with --dry-run the plan",
        "manifest": MANIFEST,
        "profile": PROFILE,
    },
)
def publish_runtime(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    regions: str = "all",
    built: bool = False,  # noqa: FBT001, FBT002
    dry_run: bool = False,  # noqa: FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    out: str = "dist",
    organization_id: str = "",
    account_id: str = "",
    canary: str = "",
    canary_role: str = "",
    profile: str = "",
) -> None:
    """Publish built images as customer-managed Lambda runtimes in every region, and record their ARNs.

    Each region gets the repository nodelayer/nodejs-MAJOR, the runtime nodejs-MAJOR, a runtime version, and
    the aliases that functions name: the exact Node.js version, latest (moves only forward) and previous (what
    latest was before). A region that has all this is left as it is, so after a failure or an interruption run
    the same command again. Set --node or --built.
    Example: publish-runtime --node 24 --regions eu-west-1,us-east-1
    """
    from nodelayer.publish.layers.plan import check_access
    from nodelayer.publish.layers.report import Failure
    from nodelayer.publish.runtimes.run import built_images, run

    if built and node:
        raise InvalidInputError("--node and --built are mutually exclusive", todo="use one")
    if not built and not node:
        raise InvalidInputError(
            "--node or --built is required", todo="use --node VERSION, or --built for every image in --out"
        )
    starting = canary_options(canary, 1, canary_role, regions)
    access = check_access(public=False, organization=organization_id, accounts=account_id)
    target = publish_target(regions, manifest, profile)
    report = run_report("publish-runtime")
    images, errors = built_images(Path(out), None if built else node)
    for error in errors:
        report.fail(Failure("", "", error))
    if images:
        account = target.open_account()
        document = run(
            images,
            access,
            account=account,
            selection=target.select(account),
            manifest=target.manifest,
            report=report,
            results=print_unless(json),
            canary=starting,
            preferred=os.environ.get("AWS_REGION", ""),
            dry_run=dry_run,
        )
        if json:
            print(jsons.dumps(document, indent=2))
    exit_with_code(report)
