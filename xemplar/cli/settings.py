"""Reads the settings of a program from its environment variables."""

import os
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from xemplar.cli.environment import check_environment
from xemplar.errors import ConfigurationError

Settings = TypeVar("Settings", bound=BaseModel)


def settings_from(model: type[Settings], **named: Any) -> Settings:
    """Read settings from the environment; ``named`` ones win over it.

    Args:
        model: pydantic settings with a prefix for their variables.
        named: values by field.

    Raises:
        ConfigurationError: a variable is misspelt, or its value is out of range.
    """
    check_environment(os.environ)
    try:
        return model(**named)
    except ValidationError as error:
        prefix = model.model_config.get("env_prefix", "")
        wrong = "; ".join(
            f"{prefix}{str(one['loc'][0]).upper()} is {one['input']!r}: {one['msg']}"
            if one["loc"]
            else one["msg"]
            for one in error.errors()
        )
        raise ConfigurationError(f"{wrong}; docs/settings.md lists all settings") from error
