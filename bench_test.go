package membercard_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// answering returns a client whose every request is answered, in memory, with a body signed beforehand.
func answering(tb testing.TB, body []byte) *membercard.Client {
	tb.Helper()
	server := membercardtest.NewTestServer(tb)
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	digest := sha256.Sum256([]byte(timestamp + "\nnonce\n" + string(body) + "\n"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, server.PlatformKey(), crypto.SHA256, digest[:])
	require.NoError(tb, err)
	header := http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "Request-Id": {"8C8CD84C606104018CFB0BCA801200228E69801-0"},
		"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {"nonce"}, "Wechatpay-Serial": {membercardtest.PublicKeyID},
		"Wechatpay-Signature": {base64.StdEncoding.EncodeToString(signature)},
	}
	return newClient(tb, server, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: r,
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	})))
}

func BenchmarkGetUserCard(b *testing.B) {
	client := answering(b, sampleAnswer(b, membercard.OperationGetUserCard))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.GetUserCard(b.Context(), getRequest); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAllocations keeps what a call takes from growing. The race detector and coverage take some of their own,
// so it is run by itself.
func TestAllocations(t *testing.T) {
	if os.Getenv("MEMBERCARD_GATE_ALLOCATIONS") == "" {
		t.Skip("set MEMBERCARD_GATE_ALLOCATIONS=1, without -race and -cover")
	}
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, sampleAnswer(t, membercard.OperationGetUserCard)))
	client := answering(t, compact.Bytes())
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.GetUserCard(b.Context(), getRequest); err != nil {
				b.Fatal(err)
			}
		}
	})
	t.Log(result, result.MemString())
	assert.LessOrEqual(t, result.AllocsPerOp(), int64(80))
	assert.LessOrEqual(t, result.AllocedBytesPerOp(), int64(10800))
}

func BenchmarkUpdateUserCard(b *testing.B) {
	client := answering(b, sampleAnswer(b, membercard.OperationGetUserCard))
	request := updateRequest
	request.UserInformation = &membercard.UserInfo{CommonFieldList: []membercard.UserInfoCommonField{
		{Name: membercard.CommonFieldFlagBirthday, Value: membercard.NewSensitive("1990-01-01")},
		{Name: membercard.CommonFieldFlagName, Value: membercard.NewSensitive("张三")},
	}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.UpdateUserCard(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}
