"""What work costs the engine, in requests: counts do not wobble as seconds do."""

from collections import Counter

from contract.desired import Application
from tests.support.engine.agents import Agent
from tests.support.engine.counting_proxy import CountingProxy

COUNT = 5


def test_each_change_asks_the_engine_once_for_each_thing_that_has_to_happen(
    agent: Agent, proxy: CountingProxy
) -> None:
    first = [agent.application("server", f"app-{i}") for i in range(COUNT)]
    changed = [agent.application("server", "app-0", env={"LEVEL": "2"}), *first[1:]]
    agent.deploy(agent.application("server", "warm-up"))  # the image is there
    agent.deploy()

    assert _acts(agent, proxy, *first) == {"create": COUNT, "start": COUNT}
    assert _acts(agent, proxy, *first) == {}
    assert _acts(agent, proxy, *changed) == {"stop": 1, "rename": 1, "create": 1, "start": 1, "remove": 1}
    assert _acts(agent, proxy) == {"stop": COUNT, "remove": COUNT}


def test_reading_is_for_what_the_list_does_not_show_and_for_nothing_that_goes(
    agent: Agent, proxy: CountingProxy
) -> None:
    first = [agent.application("server", f"app-{i}") for i in range(COUNT)]
    changed = [agent.application("server", "app-0", env={"LEVEL": "2"}), *first[1:]]
    agent.deploy(agent.application("server", "warm-up"))  # the image is there
    agent.deploy()

    assert _reads(agent, proxy, *first) == {"inspect": COUNT}  # whether it was ever started again
    assert _reads(agent, proxy, *first) == {}
    assert _reads(agent, proxy, *changed) == {"inspect": 1}
    assert _reads(agent, proxy) == {}


def test_one_that_failed_and_was_stopped_is_not_read_again(agent: Agent, proxy: CountingProxy) -> None:
    agent.deploy(agent.application("failing"))
    before = len(proxy.requests)

    for _ in range(3):
        agent.reconciler.converge()

    assert [each.partition("?")[0].rpartition("/")[2] for each in proxy.requests[before:]] == ["json"] * 3
    assert all("/containers/json" in each for each in proxy.requests[before:])


def _reads(agent: Agent, proxy: CountingProxy, *applications: Application) -> Counter[str]:
    """Deploy and return the requests that read one container, by what they read."""
    before = len(proxy.requests)
    agent.deploy(*applications)
    asked = [request.partition("?")[0].split("/") for request in proxy.requests[before:]]
    return Counter(
        "inspect" if each[-1] == "json" else each[-1]
        for each in asked
        if each[0] == "GET " and each[-3] == "containers"
    )


def _acts(agent: Agent, proxy: CountingProxy, *applications: Application) -> Counter[str]:
    """Deploy and return the requests that changed something, by what they did."""
    before = len(proxy.requests)
    agent.deploy(*applications)
    asked = [request.partition("?")[0] for request in proxy.requests[before:]]
    return Counter(
        "remove" if each.startswith("DELETE ") else each.rpartition("/")[2]
        for each in asked
        if each.startswith(("POST ", "DELETE "))
    )
