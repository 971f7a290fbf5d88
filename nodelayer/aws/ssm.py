"""Parameters of AWS Systems Manager."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient

    from nodelayer.aws.clients import RegionClients


class Parameters:
    """The parameters of one account in one region."""

    def __init__(self, clients: "RegionClients") -> None:
        self._clients = clients
        self._client: SSMClient = clients.client("ssm")

    def get(self, names: Sequence[str]) -> dict[str, str]:
        """Return the values of those parameters that exist."""

        def ask() -> dict[str, str]:
            found: dict[str, str] = {}
            for start in range(0, len(names), 10):  # the most that the API accepts
                answer = self._client.get_parameters(Names=list(names[start : start + 10]))
                found |= {each["Name"]: each["Value"] for each in answer["Parameters"]}
            return found

        return self._clients.read("ssm:GetParameters", "", ask)

    def put(self, name: str, value: str, description: str) -> None:
        """Create or overwrite a parameter."""
        with self._clients.translate_errors("ssm:PutParameter", name):
            self._client.put_parameter(
                Name=name,
                Value=value,
                Type="String",
                Overwrite=True,
                Description=description,
                DataType="text",
            )
