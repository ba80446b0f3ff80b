#!/usr/bin/env bash
# Calls with nothing but curl and openssl. The environment variable MEMBERCARD_FAKE_CONFIG names the config.json that the fake
# program wrote; for WeChat Pay itself set the same variables by hand.
set -euo pipefail

folder=$(dirname "$MEMBERCARD_FAKE_CONFIG")
config() { sed -n "s/^ *\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" "$MEMBERCARD_FAKE_CONFIG"; }
base_url=$(config base_url) mch_id=$(config mch_id) serial=$(config certificate_serial) key_id=$(config public_key_id)
brand_id=$(config brand_id) card_id=$(config card_id) code=$(config user_card_code) openid=$(config openid)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

seal() { # encrypts a value for WeChat Pay
	printf %s "$1" | openssl pkeyutl -encrypt -pubin -inkey "$folder/pub_key.pem" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 | openssl base64 -A
}

unseal() { # decrypts a value of WeChat Pay's
	printf %s "$1" | openssl base64 -d -A | openssl pkeyutl -decrypt -inkey "$folder/apiclient_key.pem" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1
}

header() { # header NAME: a header of the last answer
	sed -n "s/^$1: \(.*\)\r\$/\1/Ip" "$work/headers"
}

call() { # call METHOD URI [BODY]: prints the body of the answer; its status is in $work/status
	local method=$1 uri=$2 body=${3-} timestamp nonce signature
	timestamp=$(date +%s) nonce=$(openssl rand -hex 16)
	signature=$(printf '%s\n%s\n%s\n%s\n%s\n' "$method" "$uri" "$timestamp" "$nonce" "$body" | openssl dgst -sha256 -sign "$folder/apiclient_key.pem" | openssl base64 -A)
	curl -sS -X "$method" "$base_url$uri" -D "$work/headers" -o "$work/body" -w '%{http_code}' \
		-H 'Accept: application/json' -H "Wechatpay-Serial: $key_id" \
		-H "Authorization: WECHATPAY2-SHA256-RSA2048 mchid=\"$mch_id\",serial_no=\"$serial\",timestamp=\"$timestamp\",nonce_str=\"$nonce\",signature=\"$signature\"" \
		${body:+-H 'Content-Type: application/json' --data-binary "$body"} >"$work/status"
	header Wechatpay-Signature | openssl base64 -d -A >"$work/signature"
	{ printf '%s\n%s\n' "$(header Wechatpay-Timestamp)" "$(header Wechatpay-Nonce)"; cat "$work/body"; echo; } |
		openssl dgst -sha256 -verify "$folder/pub_key.pem" -signature "$work/signature" >/dev/null || { echo "the answer is not signed by WeChat Pay" >&2; exit 1; }
	cat "$work/body"
}

member() { # member NAME: a text in the last answer
	sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/" "$work/body"
}

expect() { # expect NAME GOT WANT
	[ "$2" = "$3" ] || { echo "$1: $2, not $3" >&2; exit 1; }
	echo "ok $1"
}

cards=/v3/brand/partner/card-member/user-cards
call GET "$cards/$code?brand_id=$brand_id&card_id=$card_id&openid=$openid" >/dev/null
expect "read" "$(cat "$work/status") $(member user_card_state) $(unseal "$(member phone_number)")" "200 EFFECTIVE 13800000000"
ids="\"brand_id\":\"$brand_id\",\"card_id\":\"$card_id\",\"openid\":\"$openid\""
call PATCH "$cards/$code" "{$ids,\"level\":\"钻石会员\",\"phone_number\":\"$(seal 13900000000)\"}" >/dev/null
expect "change" "$(cat "$work/status") $(member level) $(unseal "$(member phone_number)")" "200 钻石会员 13900000000"
call PATCH "$cards/$code" "{$ids,\"phone_number\":\"13700000000\"}" >/dev/null
expect "a phone number in clear" "$(cat "$work/status") $(member code)" "400 PARAM_ERROR"
call POST "$cards/$code/invalidate" "{$ids,\"invalid_reason\":\"用户申请注销\"}" >/dev/null
expect "invalidate" "$(cat "$work/status") $(member user_card_state)" "200 INVALID"
