"""The requests of `bench proxies`."""

from __future__ import annotations

from collections import Counter

from atmdepot.bench.proxies.documents import Asking, octets_of


def test_the_same_seed_gives_the_same_requests() -> None:
    asking = Asking(requests=200)
    assert list(asking.draw(3)) == list(asking.draw(3)) != list(asking.draw(4))


def test_requests_follow_zipfs_law_and_each_client_has_documents_of_its_own() -> None:
    asking = Asking(requests=20_000, clients=4, shared_documents=100, own_documents=10, own=0.25, exponent=1.0)
    seen = Counter(path for _, path in asking.draw(1))
    of_all = sum(count for path, count in seen.items() if path.startswith("/all/"))
    assert 0.73 < of_all / 20_000 < 0.77
    assert 1.6 < seen["/all/0"] / seen["/all/1"] < 2.4
    assert len([path for path in seen if path.startswith("/all/")]) == 100
    assert {path for client, path in asking.draw(1) if client == 2 and "client" in path} <= {
        f"/client2/{number}" for number in range(10)}


def test_a_document_has_one_size() -> None:
    assert {octets_of(f"/all/{number}") for number in range(100)} == set(range(1024, 1024 + 29 * 512, 512))
