"""What pellucid raises. Every message says what was done, what came, what can be taken, and the way out."""

from __future__ import annotations


class PellucidError(Exception):
    """Base of all errors that pellucid raises on purpose."""


class ModelError(PellucidError, ValueError):
    """A model that cannot be read: broken, hostile or inconsistent."""


class UnsupportedOp(ModelError):
    """An operation that no op here is spelled as. Names node, op, shape and the way out."""


class FidelityError(ModelError):
    """The imported network does not compute what the original does."""


class DomainError(PellucidError, ValueError):
    """An analysis set that is empty, flat, unbounded, or of the wrong size."""


class NotPiecewiseLinear(PellucidError, ValueError):
    """An exact method was asked of a network with a smooth activation."""


class NoDecision(PellucidError, ValueError):
    """A class was asked of a network that gives none (regression)."""


class MissingColumn(PellucidError, AttributeError):
    """An atlas was made without what is asked of it: classes of one that is not split, volumes of an engine that gives none."""


class DataError(PellucidError, ValueError):
    """Rows that do not fit the network: names, missing values, unknown categories, wrong width."""


class FileFormatError(PellucidError, ValueError):
    """A file (an atlas of ours, a property in VNN-LIB) that is broken, or of another version or kind than can be read."""


class PathInUse(PellucidError, FileExistsError):
    """A file or folder that would have to be overwritten."""


class MissingExtra(PellucidError, ImportError):
    """An optional package is needed; the message names the extra."""

    def __init__(self, package: str, extra: str, what: str):
        super().__init__(f"{what} needs the package '{package}'. Install it with: pip install 'pellucid[{extra}]'")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a long run. `.partial` holds what was found until then."""

    def __init__(self, partial=None):
        super().__init__("interrupted; what was found is in .partial")
        self.partial = partial
