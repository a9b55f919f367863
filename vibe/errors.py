"""The error tree, split by whose problem it is.

    VibeError
    ├── UserError     the person can mend it: the message says what happened, `fix` what to do
    │   └── NoSuchApp
    ├── ModelFault    the model's reply is at fault: the message goes back to the model
    └── EngineFault   the sandbox or the machine is at fault: stop, tell, keep everything
        ├── BoxLost   this one box is gone; another may be started
        ├── Busy      something else is at it; a moment later it may be free
        └── NoPackages  packages can't be had; the program may do without

Each is caught once, at the boundary that can act on it. Anything else is a bug and propagates.
"""


class VibeError(Exception):
    """Base of everything Vibe raises on purpose; `message` is one sentence for a person."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class UserError(VibeError):
    """Something the person can mend; `fix` says how."""


class NoSuchApp(UserError):
    """No app with that id is in the gallery (or in the trash)."""

    def __init__(self, app_id: str) -> None:
        super().__init__(f"There is no app called {app_id!r}.", "`vibe list` shows the gallery.")


class ModelFault(VibeError):
    """The model's reply can't be used; the message is what the model is told."""


class EngineFault(VibeError):
    """The sandbox engine or the machine failed; the program in the box is not to blame."""


class BoxLost(EngineFault):
    """A box ended, or its pipe broke, before it answered."""


class Busy(EngineFault):
    """Something else is at it, or has it, at this moment."""


class NoPackages(EngineFault):
    """Packages can't be had; `blamed` are the names that another try should do without, empty when
    the network or the machine is to blame and not the names."""

    def __init__(
        self, message: str, fix: str = "", *, blamed: tuple[str, ...] = (), evidence: str = ""
    ) -> None:
        super().__init__(message, fix)
        self.blamed = blamed
        self.evidence = evidence
