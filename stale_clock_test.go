package membercard_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestSignErrorOfTheClock: the clock is read from the Date header.
func TestSignErrorOfTheClock(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-6 * time.Minute, 6 * time.Minute, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t, membercardtest.AllowViolations())
			transport := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				body := `{"code":"SIGN_ERROR","message":"时间戳过期"}`
				return &http.Response{StatusCode: 401, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{
					"Date": {time.Now().Add(skew).UTC().Format(http.TimeFormat)},
				}}, nil
			})
			_, err := newClient(t, server, withTransport(transport)).GetUserCard(t.Context(), getRequest)
			apiError, ok := errors.AsType[*membercard.APIError](err)
			require.True(t, ok)
			if skew.Abs() < 5*time.Minute {
				assert.Empty(t, apiError.Diagnosis)
				return
			}
			assert.Equal(t, fmt.Sprintf("this machine's clock is off by %v from the service's", -skew), apiError.Diagnosis)
		})
	}
}

// TestTheClockWindow: an answer five minutes old is stale, and so is one five minutes in the future.
func TestTheClockWindow(t *testing.T) {
	t.Parallel()
	for offset, fresh := range map[time.Duration]bool{
		0: true, 299 * time.Second: true, -299 * time.Second: true,
		300 * time.Second: false, -300 * time.Second: false, 24 * time.Hour: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t)
			transport := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				body := `{"user_card_code":"` + userCardCode + `"}`
				timestamp := strconv.FormatInt(time.Now().Add(offset).Unix(), 10)
				digest := sha256.Sum256([]byte(timestamp + "\nnonce\n" + body + "\n"))
				signature, err := rsa.SignPKCS1v15(nil, server.PlatformKey(), crypto.SHA256, digest[:])
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{
					"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {"nonce"}, "Wechatpay-Serial": {membercardtest.PublicKeyID},
					"Wechatpay-Signature": {base64.StdEncoding.EncodeToString(signature)},
				}}, err
			})
			_, err := newClient(t, server, withTransport(transport)).GetUserCard(t.Context(), getRequest)
			if fresh {
				require.NoError(t, err, offset)
				return
			}
			untrusted, ok := errors.AsType[*membercard.SignatureError](err)
			require.True(t, ok, offset)
			assert.Equal(t, membercard.ReasonStaleClock, untrusted.Reason)
			assert.Equal(t, offset, untrusted.Skew)
			side := map[bool]string{true: "after", false: "before"}[offset > 0]
			assert.Contains(t, err.Error(), fmt.Sprintf("this machine's clock (dated %v %s it); check the clock", offset.Abs(), side))
		})
	}
}

func TestTimestampThatIsNoNumber(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "x", "1.5", "99999999999999999999", "-", " 1"} {
		server := newServer(t)
		transport := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			response, err := server.RoundTrip(r)
			if err == nil {
				response.Header.Set("Wechatpay-Timestamp", value)
			}
			return response, err
		})
		_, err := newClient(t, server, withTransport(transport), noRetries).GetUserCard(t.Context(), getRequest)
		untrusted, ok := errors.AsType[*membercard.SignatureError](err)
		require.True(t, ok, value)
		assert.Equal(t, membercard.ReasonMissingHeader, untrusted.Reason, value)
	}
}
