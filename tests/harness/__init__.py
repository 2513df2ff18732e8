"""What the tests share: nothing here asserts anything."""
