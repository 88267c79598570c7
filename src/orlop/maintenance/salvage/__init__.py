"""Salvage: the readable part of a damaged file, in a new one.

The source is never written. What is tried, the best first:

1. a version whose tree is sound: the newest, else the one before it, if it has as much as
   can be reached of the newest;
2. every page of the newest that can still be reached, around those that are damaged, and in
   the gaps that are left what the version before has there;
3. leaves that nothing reaches any more: those below a damaged branch, or older copies of a
   damaged leaf. Where such a leaf belongs is known by its keys: they lie where the damage
   left a gap, and look like what that bucket holds. What fits nowhere goes to a bucket
   `lost+found`, under the number of its page.

What does not come from the newest version is told apart in the report: it may be older.

Source: the idea of going back one meta, and of clearing pages, is that of bbolt's `surgery`.
"""

from orlop.maintenance.salvage.report import Loss, Recovered, Salvaged
from orlop.maintenance.salvage.run import salvage

__all__ = ["Loss", "Recovered", "Salvaged", "salvage"]
