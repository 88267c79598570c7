"""Test suites for implementations of Orlop's contracts; imported only by tests."""
