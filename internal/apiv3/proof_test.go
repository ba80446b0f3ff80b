package apiv3

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProofOf(t *testing.T) {
	want := Proof{Timestamp: "1", Nonce: "n", Signature: "s", Serial: "K"}
	for name, header := range map[string]http.Header{
		"canonical":  {"Wechatpay-Timestamp": {"1"}, "Wechatpay-Nonce": {"n"}, "Wechatpay-Signature": {"s"}, "Wechatpay-Serial": {"K"}},
		"lower case": {"wechatpay-timestamp": {"1"}, "wechatpay-nonce": {"n"}, "wechatpay-signature": {"s"}, "wechatpay-serial": {"K"}},
		"upper case": {"WECHATPAY-TIMESTAMP": {"1"}, "WECHATPAY-NONCE": {"n"}, "WECHATPAY-SIGNATURE": {"s"}, "WECHATPAY-SERIAL": {"K"}},
		"doubled":    {"Wechatpay-Timestamp": {"1", "2"}, "Wechatpay-Nonce": {"n", "m"}, "Wechatpay-Signature": {"s", "t"}, "Wechatpay-Serial": {"K", "L"}},
		"both cases": {"Wechatpay-Timestamp": {"1"}, "wechatpay-timestamp": {"2"}, "Wechatpay-Nonce": {"n"}, "Wechatpay-Signature": {"s"}, "Wechatpay-Serial": {"K"}},
	} {
		assert.Equal(t, want, ProofOf(header), name)
	}
	assert.True(t, ProofOf(http.Header{"Date": {"x"}, "Wechatpay-Nonce": nil, "wechatpay-nonce": nil}).Absent())
	assert.False(t, want.Absent())
}

func TestFlaw(t *testing.T) {
	now := time.Unix(1624523846, 0)
	good := Proof{Timestamp: "1624523846", Nonce: "n", Signature: "s", Serial: "K"}
	assert.Nil(t, good.Flaw(now))
	for _, timestamp := range []string{"", "x", "1.5", "-1624523846", "+1624523846", " 1624523846", "1624523846 ", "1624523846\n", "99999999999999999999", "0x60D44306"} {
		proof := good
		proof.Timestamp = timestamp
		assert.Equal(t, &Flaw{Kind: Incomplete, Header: "Wechatpay-Timestamp"}, proof.Flaw(now), "%q", timestamp)
	}
	for _, nonce := range []string{"", "a\nb", "a\r", "\x00", "\x7f"} {
		proof := good
		proof.Nonce = nonce
		assert.Equal(t, &Flaw{Kind: Incomplete, Header: "Wechatpay-Nonce"}, proof.Flaw(now), "%q", nonce)
	}
	spaced := good
	spaced.Nonce = "a b"
	assert.Nil(t, spaced.Flaw(now))
	for header, proof := range map[string]Proof{
		"Wechatpay-Signature": {Timestamp: good.Timestamp, Nonce: "n", Serial: "K"},
		"Wechatpay-Serial":    {Timestamp: good.Timestamp, Nonce: "n", Signature: "s"},
	} {
		assert.Equal(t, &Flaw{Kind: Incomplete, Header: header}, proof.Flaw(now))
	}
	for skew, fresh := range map[time.Duration]bool{0: true, 299 * time.Second: true, -299 * time.Second: true, 300 * time.Second: false, -300 * time.Second: false} {
		flaw := good.Flaw(now.Add(-skew))
		if fresh {
			assert.Nil(t, flaw, skew)
		} else {
			assert.Equal(t, &Flaw{Kind: Stale, Skew: skew}, flaw)
		}
	}
}

func TestProofVerify(t *testing.T) {
	proof := Proof{Timestamp: "1624523846", Nonce: "n", Serial: "K"}
	signed, err := Sign(testKey(), []byte("1624523846\nn\n{}\n"))
	require.NoError(t, err)
	proof.Signature = base64.StdEncoding.EncodeToString(signed)
	assert.Nil(t, proof.Verify(&testKey().PublicKey, []byte("{}")))
	assert.Equal(t, &Flaw{Kind: Mismatch}, proof.Verify(&testKey().PublicKey, []byte("{} ")))
	proof.Signature = "WECHATPAY/SIGNTEST/" + strings.Repeat("A", 325)
	assert.Equal(t, &Flaw{Kind: Probe}, proof.Verify(&testKey().PublicKey, []byte("{}")))
}
