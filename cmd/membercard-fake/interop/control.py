"""A story that knows control.md and nothing else of the fake program: two brands, a member who joins, a notification that is a
probe and then the real one, a rate that is exceeded. It is told twice with the same result.
"""
import http.server
import json
import threading
import urllib.parse
import urllib.request

from wechatpay import BASE, CONFIG, call, open_notification, unseal


def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(CONFIG["control_url"].rstrip("/") + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = response.read()
    return json.loads(answer) if answer else None


class Merchant(http.server.BaseHTTPRequestHandler):
    """The merchant's service: confirms each card that a user opens."""

    events = []

    def do_POST(self):
        opened = open_notification(self.headers, self.rfile.read(int(self.headers["Content-Length"])))
        if opened is None:
            self.events.append("a signature that is not WeChat Pay's")
            self.send_response(401)
        else:
            event_type, card = opened
            self.events.append(event_type)
            status, confirmed = call(
                "POST",
                f"{BASE}/user-cards/{urllib.parse.quote(card['user_card_code'], safe='')}/confirm",
                {
                    "card_id": card["card_id"],
                    "brand_id": card["brand_id"],
                    "openid": card["openid"],
                    "user_card_confirm_state": "CREATE_CARD_SUCCESS",
                },
            )
            self.events.append(f"confirmed: {status} {confirmed['user_card_state']}")
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def list_of(brand):
    status, page = call("GET", f"{BASE}/cards?" + urllib.parse.urlencode({"brand_id": brand, "offset": 0, "limit": 20}))
    return (status, [card["card_id"] for card in page.get("data", [])]) if status == 200 else (status, page["code"])


def story(notify_url):
    told = []
    control("POST", "/reset")
    Merchant.events = []
    control(
        "POST",
        "/seed",
        {
            "cards": [
                {"brand_id": "2001", "card_id": "card-of-coffee", "card_title": "咖啡会员卡", "notify_url": notify_url},
                {"brand_id": "2002", "card_id": "card-of-tea", "card_title": "茶会员卡"},
            ],
            "user_cards": [
                {"brand_id": "2002", "card_id": "card-of-tea", "openid": "o-1", "user_card_code": "1", "phone_number": "13800000000"}
            ],
        },
    )
    told.append(("two brands", list_of("2001"), list_of("2002")))

    query = urllib.parse.urlencode({"brand_id": "2002", "card_id": "card-of-tea", "openid": "o-1"})
    status, card = call("GET", f"{BASE}/user-cards/1?{query}")
    told.append(("a member", status, card["user_card_state"], unseal(card["phone_number"])))

    opened = control("POST", "/user-cards/open", {"card_id": "card-of-coffee", "openid": "o-2"})
    told.append(("a user opens a card", opened["user_card_state"]))
    delivered = control(
        "POST",
        "/notifications",
        {
            "event": "USER_CARD.CREATE",
            "card_id": "card-of-coffee",
            "user_card_code": opened["user_card_code"],
            "fault": "signature probe",
            "repeats_ms": [100],
        },
    )
    told.append(("WeChat Pay notifies", delivered["statuses"], delivered["accepted"], Merchant.events))
    members = control("GET", "/state")["user_cards"]
    told.append(("members", sorted((member["openid"], member["user_card_state"]) for member in members if member["openid"] in ("o-1", "o-2"))))

    control("PUT", "/rate", {"per_second": 2})
    told.append(("too fast", [list_of("2001")[0] for _ in range(3)]))
    control("PUT", "/rate", {"per_second": 0})
    control("POST", "/faults", {"kind": "error answer", "status": 500, "code": "SYSTEM_ERROR", "operation": "ListCards", "times": 1})
    told.append(("a fault", list_of("2001"), list_of("2001")))
    refused = [request for request in control("GET", "/requests") if request["status"] == 429]
    told.append(("why", refused[0]["operation"], refused[0]["code"], refused[0]["reason"]))

    control("POST", "/reset")
    told.append(("after a reset", list_of("2001")[1], len(control("GET", "/requests"))))
    return told


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Merchant)
threading.Thread(target=server.serve_forever, daemon=True).start()
first, second = (story(f"http://127.0.0.1:{server.server_port}/notify") for _ in range(2))
for line in first:
    print("ok", *line)
assert first == second, f"it was told otherwise the second time: {second}"
assert first[2:5] == [
    ("a user opens a card", "UNACTIVATED"),
    (
        "WeChat Pay notifies",
        [401, 204],
        True,
        ["a signature that is not WeChat Pay's", "BRAND_MEMBER_CARD_SP.USER_CARD.CREATE", "confirmed: 200 EFFECTIVE"],
    ),
    ("members", [("o-1", "EFFECTIVE"), ("o-2", "EFFECTIVE")]),
]
assert first[5] == ("too fast", [200, 200, 429])
