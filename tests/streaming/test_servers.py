"""What the tests' servers are given: ports that no two of them share."""

from itertools import islice

from tests.streaming.servers import UNASSIGNED, dealt_ports


def test_no_port_is_dealt_to_two_workers_nor_twice_to_one() -> None:
    a_third = len(range(*UNASSIGNED)) // 3
    dealt = [port for worker in range(3) for port in islice(dealt_ports(worker, 3), a_third)]
    assert sorted(dealt) == list(range(*UNASSIGNED))
