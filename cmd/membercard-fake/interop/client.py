"""A client in Python, on the standard library and python3-cryptography, against the fake program.

The environment variable MEMBERCARD_FAKE_CONFIG names the config.json that the program wrote.
"""
import base64
import gzip
import hashlib
import json
import os
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

FILE = os.environ["MEMBERCARD_FAKE_CONFIG"]
with open(FILE, encoding="utf-8") as f:
    CONFIG = json.load(f)


def pem(name):
    with open(os.path.join(os.path.dirname(FILE), CONFIG[name]), "rb") as f:
        return f.read()


PRIVATE_KEY = serialization.load_pem_private_key(pem("private_key"), None)
PUBLIC_KEY = serialization.load_pem_public_key(pem("public_key"))
OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
BASE = "/v3/brand/partner/card-member"


def seal(text):
    return base64.b64encode(PUBLIC_KEY.encrypt(text.encode(), OAEP)).decode()


def unseal(text):
    return PRIVATE_KEY.decrypt(base64.b64decode(text), OAEP).decode()


def call(method, uri, body=None, signed=None, content_type="application/json", serial=None):
    """Makes a call and returns the status and the verified JSON of the answer, None for an empty one."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
    signed = data if signed is None else signed
    message = b"\n".join([method.encode(), uri.encode(), timestamp.encode(), nonce.encode(), signed, b""])
    signature = base64.b64encode(PRIVATE_KEY.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "Authorization": "WECHATPAY2-SHA256-RSA2048 "
        f'mchid="{CONFIG["mch_id"]}",serial_no="{serial or CONFIG["certificate_serial"]}",'
        f'timestamp="{timestamp}",nonce_str="{nonce}",signature="{signature}"',
        "Wechatpay-Serial": CONFIG["public_key_id"],
    }
    if data:
        headers["Content-Type"] = content_type
    request = urllib.request.Request(CONFIG["base_url"] + uri, data or None, headers, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        answer = response.read()
    if response.headers.get("Content-Encoding") == "gzip":
        answer = gzip.decompress(answer)
    proof = [response.headers.get("Wechatpay-" + name) for name in ("Timestamp", "Nonce", "Signature", "Serial")]
    if proof[2] is None:
        assert response.status >= 400, "a success is signed"
    else:
        assert proof[3] == CONFIG["public_key_id"]
        PUBLIC_KEY.verify(
            base64.b64decode(proof[2]), f"{proof[0]}\n{proof[1]}\n".encode() + answer + b"\n", padding.PKCS1v15(), hashes.SHA256()
        )
    return response.status, json.loads(answer) if answer else None


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
