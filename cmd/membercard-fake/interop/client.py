"""Calls to the fake program with wechatpay.py, as clients in production make them."""
import hashlib
import json
import urllib.parse

from wechatpay import BASE, CONFIG, call, seal, unseal


def expect(name, got, want):
    assert got == want, f"{name}: {got!r}, not {want!r}"
    print("ok", name)


code = urllib.parse.quote(CONFIG["user_card_code"], safe="")
ids = {"brand_id": CONFIG["brand_id"], "card_id": CONFIG["card_id"], "openid": CONFIG["openid"]}
card_uri = f"{BASE}/user-cards/{code}"
read_uri = card_uri + "?" + urllib.parse.urlencode(ids)

status, card = call("GET", read_uri)
expect("read", (status, card["user_card_state"], unseal(card["phone_number"])), (200, "EFFECTIVE", "13800000000"))
status, card = call("GET", read_uri, serial=CONFIG["certificate_serial"].lower())
expect("a serial number in lower case", status, 200)
status, cards = call("GET", f"{BASE}/cards?" + urllib.parse.urlencode({"brand_id": CONFIG["brand_id"], "offset": 0, "limit": 20}))
expect("list", (status, cards["total_count"], cards["data"][0]["card_id"]), (200, 1, CONFIG["card_id"]))

status, card = call("PATCH", card_uri, {**ids, "level": "钻石会员", "phone_number": seal("13900000000")})
expect("change", (status, card["level"], unseal(card["phone_number"])), (200, "钻石会员", "13900000000"))
status, problem = call("PATCH", card_uri, {**ids, "phone_number": "13700000000"})
expect("a phone number in clear", (status, problem["code"], problem["detail"]["field"]), (400, "PARAM_ERROR", "/phone_number"))

status, echo = call("POST", "/v3/security/echo", {"echo_message": "hello", "encrypted_echo_message": seal("secret")})
expect("security echo", (status, echo["echo_message"], unseal(echo["encrypted_echo_message"])), (200, "hello", "secret"))

picture = b"\x89PNG\r\n\x1a\n and more"
meta = json.dumps({"filename": "card.png", "sha256": hashlib.sha256(picture).hexdigest()}).encode()
upload = b"".join(
    [
        b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="card.png"\r\nContent-Type: image/png\r\n\r\n',
        picture,
        b'\r\n--boundary\r\nContent-Disposition: form-data; name="meta"\r\n\r\n',
        meta,
        b"\r\n--boundary--\r\n",
    ]
)
status, uploaded = call(
    "POST", "/v3/marketing/favor/media/image-upload", upload, signed=meta, content_type="multipart/form-data; boundary=boundary"
)
expect("upload, the file first and meta without a type", (status, "media_url" in uploaded), (200, True))

expect("an unknown URL", call("GET", BASE + "/nothing"), (404, None))
expect("a wrong method", call("DELETE", card_uri), (405, None))
status, card = call("POST", card_uri + "/invalidate", {**ids, "invalid_reason": "用户申请注销"})
expect("invalidate", (status, card["user_card_state"]), (200, "INVALID"))
status, problem = call("POST", card_uri + "/invalidate", ids)
expect("invalidate again", (status, problem["code"]), (400, "INVALID_REQUEST"))
