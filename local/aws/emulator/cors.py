"""Patch of the emulator: an HTTP API answers by the CORS configuration that its template gives it.

Unpatched (ministack 1.5.33) it is kept as CloudFormation spells it (``AllowOrigins``) and looked up as the
API Gateway's own calls do (``allowOrigins``): every preflight is refused, and no answer has a CORS header.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ministack.services.cloudformation import provisioners


def mend_cors() -> None:
    """Have ``AWS::ApiGatewayV2::Api`` keep its CorsConfiguration as the API's own calls would."""
    api = provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"]
    api["create"] = _with_names_of_the_api(api["create"])
    api["update"] = _with_names_of_the_api(api["update"])


def _with_names_of_the_api(provision: Callable[..., Any]) -> Callable[..., Any]:
    def provisioned(*arguments: Any, **named: Any) -> Any:
        return provision(*(_renamed(each) if isinstance(each, dict) else each for each in arguments), **named)

    return provisioned


def _renamed(properties: Mapping[str, Any]) -> dict[str, Any]:
    given = properties.get("CorsConfiguration")
    if not given:
        return dict(properties)
    return {
        **properties,
        "CorsConfiguration": {name[0].lower() + name[1:]: value for name, value in given.items()},
    }
