"""What the tests stand on: nothing here asserts anything."""
