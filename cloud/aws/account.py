"""The account and region that a Lambda runs in, and the ARNs that follow from them. Calls nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account, region and partition: ``arn:{partition}:…:{region}:{id}:…``."""

    partition: str
    region: str
    id: str

    @classmethod
    def of_function(cls, arn: str) -> "Account":
        """Return the account of a Lambda by its own ARN, as its context gives it.

        Raises:
            ValueError: not a function's ARN.
        """
        parts = arn.split(":")
        if len(parts) < 7 or parts[0] != "arn" or parts[2] != "lambda":
            raise ValueError("the context's invoked_function_arn is not a function's ARN")
        return cls(parts[1], parts[3], parts[4])

    @classmethod
    def of(cls, arn: str) -> "Account":
        """Return the account of any regional resource by its ARN."""
        _, partition, _, region, account, *_ = arn.split(":")
        return cls(partition, region, account)

    @property
    def registry(self) -> str:
        """The host of this account's ECR registry."""
        end = ".cn" if self.partition == "aws-cn" else ""
        return f"{self.id}.dkr.ecr.{self.region}.amazonaws.com{end}"

    def iot_arn(self, target: str) -> str:
        """Return the ARN of an IoT ``thinggroup/{name}`` or ``thing/{name}``."""
        return f"arn:{self.partition}:iot:{self.region}:{self.id}:{target}"

    def component_arn(self, name: str) -> str:
        """Return the ARN of a Greengrass component of this account."""
        return f"arn:{self.partition}:greengrass:{self.region}:{self.id}:components:{name}"
