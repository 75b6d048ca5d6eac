"""The market feed over the shipped contracts themselves: their views give what the routes make of them."""

from typing import Any

from litestar.testing import TestClient

from carbonnode.api.app import create_app


def test_the_feed_reads_the_shipped_contracts(market_node: Any) -> None:
    market = market_node.market
    market.by("OTHER", "matching", "place", "CEA-2024", "S", 6200, 10, "")
    market.by("OTHER", "matching", "place", "CEA-2024", "S", 6210, 5, "")
    with TestClient(create_app(market_node), base_url="http://127.0.0.1:27001", raise_server_exceptions=False) as http:
        day = http.get("/v1/market").json()
        assert (day["day"], day["state"], day["halted"], day["books"]) == ("2025-11-19", "open", False, ["CEA-2024"])
        assert len(day["sessions_ms"]) == 2
        assert http.get("/v1/market/CEA-2024/depth").json()["asks"] == [{"price_fen": 6200, "quantity_t": 10}, {"price_fen": 6210, "quantity_t": 5}]
        quote = http.get("/v1/market/CEA-2024").json()
        assert (quote["previous_close_fen"], quote["lower_fen"], quote["upper_fen"], quote["trades"]) == (6196, 5577, 6815, 0)
        dates = {"first": "2025-11-18", "last": "2025-11-20"}
        assert http.get("/v1/market/CEA-2024/closes", params=dates).json() == []
        market.by("exchange", "identity", "freeze", "ST-001", "none")  # a frozen entity changes nothing in the feed
        market.close_market()
        (close,) = http.get("/v1/market/CEA-2024/closes", params=dates).json()
        assert (close["day"], close["close_fen"], close["trades"]) == ("2025-11-19", 6196, 0)
        assert http.get("/v1/market/NONE-2024").status_code == 404
        assert http.get("/v1/contracts/cash/balance", params={"entity": "ST-001"}).json()["code"] == "ACCESS-READ"
