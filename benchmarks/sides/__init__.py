"""What is measured of Orlop, each measurement as `peer` has it under the same name.

Such a function works in a folder, does `count` operations (or works on `count` objects) and
returns seconds an operation, by the name of what was measured.
"""
