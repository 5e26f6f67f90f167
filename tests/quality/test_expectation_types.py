from convergence_assets.pipelines.suites import expectation_types


def test_the_listed_types_and_arguments_are_those_of_great_expectations() -> None:
    import great_expectations.expectations as core
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.registry import get_expectation_impl

    exported = {
        found.expectation_type
        for found in vars(core).values()
        if isinstance(found, type) and issubclass(found, Expectation) and not found.is_abstract()
    }
    shared = set(Expectation.__fields__)
    arguments = {}
    for type_ in exported:
        fields = {name: f for name, f in get_expectation_impl(type_).__fields__.items() if name not in shared}
        required = frozenset(name for name, f in fields.items() if f.required)
        arguments[type_] = (required, frozenset(fields) - required)
    assert dict(expectation_types()) == arguments
