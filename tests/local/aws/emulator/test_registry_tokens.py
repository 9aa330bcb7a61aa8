from local.docker.registry_tokens import issue, read


def test_a_token_says_when_it_was_issued_and_that_it_lasts_twelve_hours() -> None:
    token = read(b"key", issue(b"key", 1_000))

    assert token is not None
    assert (token.issued_at_ms, token.expires_at_ms) == (1_000, 1_000 + 12 * 3_600_000)


def test_no_two_tokens_are_the_same() -> None:
    assert issue(b"key", 1_000) != issue(b"key", 1_000)


def test_a_token_of_another_key_or_a_changed_one_is_not_ours() -> None:
    token = issue(b"key", 1_000)

    assert read(b"other", token) is None
    assert read(b"key", "9" + token) is None
    assert read(b"key", "") is None
