"""Test suites for implementations of Orlop's contracts; imported only by tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.testing.engine import ContractSuite, FailureSuite, FaultyStore, Limits, Store
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "ContractSuite": "orlop.testing.engine:ContractSuite",
            "FailureSuite": "orlop.testing.engine:FailureSuite",
            "FaultyStore": "orlop.testing.engine:FaultyStore",
            "Limits": "orlop.testing.engine:Limits",
            "Store": "orlop.testing.engine:Store",
        },
    )

__all__ = ["ContractSuite", "FailureSuite", "FaultyStore", "Limits", "Store"]
