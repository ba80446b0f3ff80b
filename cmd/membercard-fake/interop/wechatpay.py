"""WeChat Pay APIv3 in Python, on the standard library and python3-cryptography: calls that are signed, answers and notifications
that are verified, values that are encrypted.

The environment variable MEMBERCARD_FAKE_CONFIG names the config.json that the fake program wrote.
"""
import base64
import gzip
import json
import os
import secrets
import time
import urllib.error
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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


def verify(headers, body):
    """Raises where the signature of an answer or a notification is not WeChat Pay's, or is not of now."""
    timestamp, nonce, serial = (headers["Wechatpay-" + name] for name in ("Timestamp", "Nonce", "Serial"))
    assert serial == CONFIG["public_key_id"]
    assert abs(time.time() - int(timestamp)) < 300
    message = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
    PUBLIC_KEY.verify(base64.b64decode(headers["Wechatpay-Signature"]), message, padding.PKCS1v15(), hashes.SHA256())


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
    if response.headers.get("Wechatpay-Signature") is None:
        assert response.status >= 400, "a success is signed"
    else:
        verify(response.headers, answer)
    return response.status, json.loads(answer) if answer else None


def open_notification(headers, body):
    """Returns the event type and the content of a notification; None where its signature is not WeChat Pay's."""
    try:
        verify(headers, body)
    except InvalidSignature:
        return None
    notification = json.loads(body)
    resource = notification["resource"]
    content = AESGCM(CONFIG["apiv3_key"].encode()).decrypt(
        resource["nonce"].encode(), base64.b64decode(resource["ciphertext"]), resource.get("associated_data", "").encode()
    )
    return notification["event_type"], json.loads(content)
