"""Expectation suites to check results, with Great Expectations inside."""
