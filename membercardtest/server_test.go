package membercardtest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

const cardURI = "/v3/brand/partner/card-member/user-cards/" + code + "?brand_id=" + brandID + "&card_id=" + cardID + "&openid=" + openID

var get = membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID}

func TestRoundTripObeysTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSilent})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := server.Client().GetUserCard(ctx, get)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestRoundTripFiresTheTraceHooks(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var fired []string
	fire := func(name string) { fired = append(fired, name) }
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn:              func(string) { fire("GetConn") },
		GotConn:              func(httptrace.GotConnInfo) { fire("GotConn") },
		WroteHeaders:         func() { fire("WroteHeaders") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { fire("WroteRequest") },
		GotFirstResponseByte: func() { fire("GotFirstResponseByte") },
	})
	_, err := server.Client().GetUserCard(ctx, get)
	require.NoError(t, err)
	assert.Equal(t, []string{"GetConn", "GotConn", "WroteHeaders", "WroteRequest", "GotFirstResponseByte"}, fired)
	fired = nil
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultRefuse, Times: -1})
	_, err = server.Client().InvalidateUserCard(ctx, membercard.InvalidateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID})
	require.Error(t, err)
	assert.Equal(t, []string{"GetConn", "GetConn", "GetConn"}, fired, "no connection was had")
}

func TestLimitRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		config := server.Config()
		config.Retry.MaxAttempts = 1
		client, err := membercard.New(config)
		require.NoError(t, err)
		server.LimitRate(5)
		for range 2 {
			for range 5 {
				_, err := client.GetUserCard(t.Context(), get)
				require.NoError(t, err)
			}
			_, err := client.GetUserCard(t.Context(), get)
			require.ErrorIs(t, err, membercard.ErrRateLimited)
			_, err = client.ListCards(t.Context(), membercard.ListCardsRequest{BrandID: brandID})
			require.NoError(t, err, "the limit is per operation")
			time.Sleep(time.Second)
		}
	})
}

// FuzzServer: a server made for a fuzz target may be sent anything in it, violations too; it neither fails the
// target from elsewhere nor hangs.
func FuzzServer(f *testing.F) {
	server := membercardtest.NewTestServer(f)
	f.Add("GET", "/v3/brand/partner/card-member/cards", "mchid")
	f.Fuzz(func(t *testing.T, method, path, authorization string) {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://wechatpay"+path, nil)
		if err != nil {
			t.Skip()
		}
		request.Header.Set("Authorization", authorization)
		response, err := server.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode < 400 || response.StatusCode == http.StatusInternalServerError {
			t.Fatal(err, response.StatusCode)
		}
		server.ClearRequests()
	})
}

// TestClientsInProduction: what clients send that work with the service is let in.
func TestClientsInProduction(t *testing.T) {
	t.Parallel()
	picture := "\x89PNG\r\n\x1a\n and more"
	digest := sha256.Sum256([]byte(picture))
	meta := `{"filename":"a.png","sha256":"` + hex.EncodeToString(digest[:]) + `"}`
	const file = "Content-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png"
	for name, make := range map[string]func(*membercardtest.Server) *http.Request{
		"wechatpay-node-v3: the serial number in lower case": func(server *membercardtest.Server) *http.Request {
			request := sign(t, server, "GET", cardURI, "", nil)
			request.Header.Set("Authorization", strings.Replace(request.Header.Get("Authorization"),
				membercardtest.CertificateSerial, strings.ToLower(membercardtest.CertificateSerial), 1))
			return request
		},
		"wechatpay-java: the algorithm of the certificates": func(server *membercardtest.Server) *http.Request {
			request := sign(t, server, "GET", "/v3/certificates?algorithm_type=RSA", "", nil)
			request.Header.Del("Wechatpay-Serial")
			return request
		},
		"gopay: its own serial number where nothing is encrypted": func(server *membercardtest.Server) *http.Request {
			request := sign(t, server, "GET", "/v3/certificates", "", nil)
			request.Header.Set("Wechatpay-Serial", membercardtest.CertificateSerial)
			return request
		},
		"gopay: meta without a type": func(server *membercardtest.Server) *http.Request {
			return upload(t, server, picture, meta, `Content-Disposition: form-data; name="meta"`, file)
		},
		"wechatpay-node-v3: the file before meta": func(server *membercardtest.Server) *http.Request {
			return upload(t, server, picture, meta, file, "Content-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json")
		},
		"wechatpay-go: any type is accepted": func(server *membercardtest.Server) *http.Request {
			request := sign(t, server, "GET", cardURI, "", nil)
			request.Header.Set("Accept", "*/*")
			return request
		},
	} {
		server := newServer(t, membercardtest.WithCertificates())
		a := answerTo(t, server, make(server))
		assert.Equal(t, 200, a.status, "%s: %s", name, lastReason(server))
	}
	server := newServer(t, membercardtest.AllowViolations())
	a := answerTo(t, server, upload(t, server, picture, meta, `Content-Disposition: form-data; name="meta"; filename="meta.json"`, file))
	assert.Equal(t, 401, a.status, "meta with a filename is taken for a file")
	a = answerTo(t, server, upload(t, server, picture+strings.Repeat("x", 5<<20), meta, file))
	assert.Equal(t, 413, a.status, "an answer, and no broken connection")
}

func newServer(t *testing.T, options ...membercardtest.Option) *membercardtest.Server {
	server := membercardtest.NewTestServer(t, append(options, membercardtest.WithWithdrawnOperations())...)
	server.AddCard(membercard.Card{
		BrandID: brandID, CardID: cardID, CodeType: membercard.CodeTypeJumpMiniProgram,
		ValidDateInformation: membercard.DateInfo{
			Type: membercard.DateTypeFixTimeRange, AvailableBeginTime: membercard.Timestamp{Time: time.Unix(1577808000, 0)},
			AvailableEndTime: membercard.Timestamp{Time: time.Unix(4070880000, 0)},
		},
		UserInformation: &membercard.UserInfoForm{
			CommonFieldList: []membercard.CommonFieldFlag{membercard.CommonFieldFlagBirthday},
			CustomFieldList: []membercard.UserCustomFieldForm{{Type: membercard.CustomFieldTypeCheckBox, Name: "喜欢的运动", Values: []string{"足球"}}},
		},
	})
	server.AddUserCard(membercard.UserCard{CardID: cardID, UserCardCode: code, OpenID: openID, PhoneNumber: membercard.NewSensitive("13800000000")})
	server.AddUserCard(membercard.UserCard{CardID: cardID, UserCardCode: unconfirmed, OpenID: openID, UserCardState: membercard.UserCardStateUnactivated})
	server.AddPointsExchange(membercard.PointsExchange{CardID: cardID, UserCardCode: code, RecordID: "record", ExchangeCouponTemplateID: "exchange"})
	server.AddActivity(membercard.Activity{CardID: cardID, ActivityID: 371067, BeginTime: membercard.Timestamp{Time: time.Unix(4070880000, 0)}})
	return server
}

func lastReason(server *membercardtest.Server) string {
	requests := server.Requests()
	return requests[len(requests)-1].Reason
}

// TestViolationsFailTheTest: what a correct client never sends fails the test that uses the fake; what the
// business refuses does not.
func TestViolationsFailTheTest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mutate    func(*message)
		violation bool
	}{
		"valid":             {func(*message) {}, false},
		"signature":         {func(m *message) { m.authorize = func(map[string]string) string { return "x" } }, true},
		"header":            {func(m *message) { m.header.Set("User-Agent", "") }, true},
		"unknown parameter": {func(m *message) { m.query = append(m.query, member{"x", "y"}) }, true},
		"placement":         {func(m *message) { m.query, m.body = m.body[:1], m.body[1:] }, true},
		"clear text": {func(m *message) {
			m.body = replace(m.body, nil, "phone_number", func(in object, i int) object { in[i].value = "13800000000"; return in })
		}, true},
		"no such card":        {func(m *message) { m.path[5].value = "1" }, false},
		"template of another": {func(m *message) { m.body[1].value = "other" }, false},
		"too long": {func(m *message) {
			m.body = replace(m.body, nil, "level", func(in object, i int) object { in[i].value = strings.Repeat("x", 11); return in })
		}, false},
	} {
		recorder := &recordingTB{TB: t}
		server := membercardtest.NewTestServer(recorder)
		server.AddCard(newServer(t).Cards()[0])
		server.AddUserCard(membercard.UserCard{CardID: cardID, UserCardCode: code, OpenID: openID})
		m := validMessages(server)[3]
		test.mutate(m)
		m.send(t, server)
		assert.Equal(t, test.violation, recorder.failed != "", "%s: %s", name, recorder.failed)
		assert.NotContains(t, recorder.failed, "13800000000", name)
	}
}

// recordingTB is a test that fails only on paper.
type recordingTB struct {
	testing.TB
	failed string
}

func (r *recordingTB) Errorf(format string, args ...any) { r.failed += fmt.Sprintf(format, args...) }
