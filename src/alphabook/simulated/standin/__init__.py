"""Exchange stand-in."""

from .faults import Fault, FaultScriptError, read_faults
from .server import Call, StandIn, StandInError

__all__ = ["Call", "Fault", "FaultScriptError", "StandIn", "StandInError", "read_faults"]
