"""The test plan: twenty cases that a tester would run before production, and what runs them."""
