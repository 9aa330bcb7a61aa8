from local.greengrass.nucleus.services.mqtt import back_off_s


def test_the_wait_between_two_tries_to_connect_grows_up_to_the_devices_bound() -> None:
    waits = [back_off_s(failures, 30) for failures in range(12)]

    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == 30
    assert back_off_s(10_000, 4) == 4
