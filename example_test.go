package membercard_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// Keys from the files of the merchant platform.
func ExampleNew() {
	// The merchant API certificate and its private key, from apiclient_cert.zip.
	certificatePEM, err := os.ReadFile("apiclient_cert.pem")
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := membercard.ParseCertificate(certificatePEM)
	if err != nil {
		log.Fatal(err)
	}
	privatePEM, err := os.ReadFile("apiclient_key.pem")
	if err != nil {
		log.Fatal(err)
	}
	privateKey, err := membercard.ParsePrivateKey(privatePEM)
	if err != nil {
		log.Fatal(err)
	}
	// The WeChat Pay public key; its id stands beside the download.
	publicPEM, err := os.ReadFile("pub_key.pem")
	if err != nil {
		log.Fatal(err)
	}
	publicKey, err := membercard.ParsePublicKey(publicPEM)
	if err != nil {
		log.Fatal(err)
	}

	client, err := membercard.New(membercard.Config{
		MchID:             "1900009191", // the service provider's merchant number (服务商商户号)
		CertificateSerial: membercard.CertificateSerial(certificate),
		Certificate:       certificate,
		PrivateKey:        privateKey,
		PublicKeyID:       "PUB_KEY_ID_0119000091912026112200000000000001",
		PublicKey:         publicKey,
	})
	if err != nil {
		log.Fatal(err)
	}

	card, err := client.GetUserCard(context.Background(), membercard.GetUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	})
	if err != nil {
		log.Fatal(err)
	}
	phone, err := client.Decrypt(card.PhoneNumber)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.UserCardState, card.Level, len(phone))
}

// exampleKey is a merchant's private key that the fake does not know.
var exampleKey = func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	return key
}()

// newExampleServer returns the fake with the member of the examples.
func newExampleServer() *membercardtest.Server {
	server := membercardtest.NewServer()
	addMember(server)
	return server
}

func ExampleClient_GetUserCard() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	card, err := client.GetUserCard(context.Background(), membercard.GetUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	})
	if err != nil {
		log.Fatal(err)
	}
	phone, err := client.Decrypt(card.PhoneNumber)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.UserCardState, card.Level, card.PhoneNumber, phone)
	// Output: EFFECTIVE 黄金会员 [sensitive] 13800000000
}

func ExampleClient_ListUserCards() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	page, err := client.ListUserCards(context.Background(), membercard.ListUserCardsRequest{
		BrandID: "1004", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, card := range page.Data {
		fmt.Println(card.CardID, card.UserCardCode, card.UserCardState)
	}
	// Output: pbLatjvWOibDc5-TBnbUk1pD12o0 478515832665 EFFECTIVE
}

func ExampleClient_ListCards() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	page, err := client.ListCards(context.Background(), membercard.ListCardsRequest{
		BrandID: "1004", State: membercard.CardStateEffective,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.TotalCount, page.Data[0].CardTitle)
	// Output: 1 测试卡
}

func ExampleClient_AllCards() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	for card, err := range client.AllCards(context.Background(), membercard.ListCardsRequest{BrandID: "1004"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(card.CardID, card.State)
	}
	// Output: pbLatjvWOibDc5-TBnbUk1pD12o0 CARD_EFFECTIVE
}

func ExampleClient_UpdateUserCard() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	card, err := client.UpdateUserCard(context.Background(), membercard.UpdateUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
		Level:       new("钻石会员"),
		PhoneNumber: membercard.NewSensitive("13900000000"), // sent encrypted
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.Level)
	// Output: 钻石会员
}

func ExampleClient_InvalidateUserCard() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	card, err := client.InvalidateUserCard(context.Background(), membercard.InvalidateUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
		InvalidReason: "用户申请注销",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.UserCardState, card.InvalidReason)
	// Output: INVALID 用户申请注销
}

// What to do about an error.
func ExampleAPIError() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	_, err := client.GetUserCard(context.Background(), membercard.GetUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "000000000000", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	})
	switch {
	case errors.Is(err, membercard.ErrOutcomeUnknown):
		// A write may have been carried out, or still be: read the card, then decide.
	case errors.Is(err, membercard.ErrNotFound):
		fmt.Println("no such card") // Is the user a member? Is the openid of the template's AppID?
	case errors.Is(err, membercard.ErrRateLimited):
		// Not carried out: slow down and retry.
	case errors.Is(err, membercard.ErrInvalidParameter), errors.Is(err, membercard.ErrInvalidRequest):
		// The request is wrong; do not retry it. The text names a bad parameter, APIError.Detail the rule it broke.
	case errors.Is(err, membercard.ErrUnauthorized), errors.Is(err, membercard.ErrSignature):
		// A key, a certificate or the clock is wrong, or somebody else answers: run examples/doctor.
	case errors.Is(err, membercard.ErrForbidden):
		// The merchant number lacks the permission for the product.
	case err != nil:
		log.Println(err) // fit for a log: one line, without the request's personal data
	}
	if apiError, ok := errors.AsType[*membercard.APIError](err); ok {
		fmt.Println(apiError.StatusCode, apiError.Code, apiError.Verified)
	}
	// Output:
	// no such card
	// 404 NOT_FOUND true
}

// After ErrOutcomeUnknown: read the card, then decide.
func Example_outcomeUnknown() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	ctx := context.Background()
	// The connection breaks after WeChat Pay has carried the request out.
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, AfterEffect: true})

	request := membercard.InvalidateUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	}
	card, err := client.InvalidateUserCard(ctx, request)
	if errors.Is(err, membercard.ErrOutcomeUnknown) {
		// With a context of its own: that of the call may be over, which is the usual reason.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		card, err = client.GetUserCard(ctx, membercard.GetUserCardRequest{
			BrandID: request.BrandID, CardID: request.CardID,
			UserCardCode: request.UserCardCode, OpenID: request.OpenID,
		})
		if err == nil && card.UserCardState != membercard.UserCardStateInvalid {
			card, err = client.InvalidateUserCard(ctx, request) // not done so far; of two that arrive the second is refused
		}
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.UserCardState)
	// Output: INVALID
}

// Several merchant numbers, one pool of connections.
func ExampleNewTransport() {
	server := newExampleServer()
	defer server.Close()
	configs := []membercard.Config{server.Config(), server.Config()}

	shared := &http.Client{Transport: membercard.NewTransport()}
	for _, config := range configs { // one for each merchant number
		config.HTTPClient = shared
		config.BaseURL = server.Start() // of the fake; leave it out
		client, err := membercard.New(config)
		if err != nil {
			log.Fatal(err)
		}
		page, err := client.ListCards(context.Background(), membercard.ListCardsRequest{BrandID: "1004"})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(page.TotalCount)
	}
	// Output:
	// 1
	// 1
}

// The Request-ID of a successful call.
func ExampleWithResponseInfo() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	var info membercard.ResponseInfo
	ctx := membercard.WithResponseInfo(context.Background(), &info)
	if _, err := client.ListCards(ctx, membercard.ListCardsRequest{BrandID: "1004"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.StatusCode, info.Attempts, info.RequestID != "")
	// Output: 200 1 true
}

// The folder with the files of the merchant platform.
func ExampleLoadConfig() {
	config, err := membercard.LoadConfig(os.DirFS("keys"))
	if err != nil {
		log.Fatal(err)
	}
	client, err := membercard.New(config)
	if err != nil {
		log.Fatal(err) // names what is missing
	}
	for _, finding := range client.Check(context.Background()) {
		fmt.Println(finding)
	}
}

// Staying below the permitted rate of each operation.
func ExampleNewThrottle() {
	server := newExampleServer()
	defer server.Close()
	config := server.Config()
	config.Throttle = membercard.NewThrottle(9.8) // the service permits 10
	client, err := membercard.New(config)
	if err != nil {
		log.Fatal(err)
	}
	start := time.Now()
	for range 3 {
		if _, err := client.ListCards(context.Background(), membercard.ListCardsRequest{BrandID: "1004"}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(time.Since(start) >= 200*time.Millisecond)
	// Output: true
}

// One attempt and no more, for a call that a user waits for.
func ExampleWithRetry() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR"})

	ctx := membercard.WithRetry(context.Background(), membercard.RetryPolicy{MaxAttempts: 1})
	_, err := client.ListCards(ctx, membercard.ListCardsRequest{BrandID: "1004"})
	fmt.Println(errors.Is(err, membercard.ErrSystem))
	// Output: true
}

// Counting attempts by operation and status; examples/metrics does it with Prometheus.
func ExampleConfig_onAttempt() {
	server := newExampleServer()
	defer server.Close()
	config := server.Config()
	config.OnAttempt = func(_ context.Context, a membercard.Attempt) {
		fmt.Println(a.Operation, a.StatusCode, a.Err == nil)
	}
	client, err := membercard.New(config)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.ListCards(context.Background(), membercard.ListCardsRequest{BrandID: "1004"}); err != nil {
		log.Fatal(err)
	}
	// Output: ListCards 200 true
}

// Too many requests: the call was not carried out, so it may be made again, later.
func Example_rateLimited() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	ctx := context.Background()
	server.Inject(membercardtest.Fault{
		Kind: membercardtest.FaultStatus, Status: http.StatusTooManyRequests, Code: "RATELIMIT_EXCEEDED",
	})

	// An irreversible call is not repeated by itself, though this refusal proves that nothing was done.
	request := membercard.InvalidateUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	}
	card, err := client.InvalidateUserCard(ctx, request)
	if errors.Is(err, membercard.ErrRateLimited) && !errors.Is(err, membercard.ErrOutcomeUnknown) {
		time.Sleep(10 * time.Millisecond) // a second for real, or Config.Throttle beforehand
		card, err = client.InvalidateUserCard(ctx, request)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.UserCardState)
	// Output: INVALID
}

// What is wrong with a parameter: the error names it, Detail says why.
func ExampleErrorDetail() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	_, err := client.UpdateUserCard(context.Background(), membercard.UpdateUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
		Level: new("a level of more than ten characters"),
	})
	if apiError, ok := errors.AsType[*membercard.APIError](err); ok && apiError.Detail != nil {
		fmt.Println(apiError.Code, apiError.Detail.Location, apiError.Detail.Field, apiError.Detail.Issue)
	}
	// What the client is sure of it refuses itself: there is no APIError then.
	_, err = client.UpdateUserCard(context.Background(), membercard.UpdateUserCardRequest{BrandID: "1004"})
	fmt.Println(err, errors.Is(err, membercard.ErrInvalidParameter))
	// Output:
	// PARAM_ERROR body /level must have at most 10 characters
	// UpdateUserCard: UserCardCode (user_card_code) is required true
}

// The service did not accept the signature: Diagnosis says what differs, as far as can be told.
func Example_unauthorized() {
	server := newExampleServer()
	defer server.Close()
	config := server.Config()
	config.PrivateKey = exampleKey // of another certificate than CertificateSerial names
	client, err := membercard.New(config)
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.ListCards(context.Background(), membercard.ListCardsRequest{BrandID: "1004"})
	if apiError, ok := errors.AsType[*membercard.APIError](err); ok && errors.Is(err, membercard.ErrUnauthorized) {
		fmt.Println(apiError.Diagnosis)
	}
	// Output: the service verified the very message that was signed, so PrivateKey and CertificateSerial do not belong together
}

// No answer in time: whose time it was, Config.AttemptTimeout's or the context's.
func Example_timeout() {
	server := newExampleServer()
	defer server.Close()
	config := server.Config()
	config.AttemptTimeout = 10 * time.Millisecond // 10 s when it is not set
	config.Retry.MaxAttempts = 1
	client, err := membercard.New(config)
	if err != nil {
		log.Fatal(err)
	}
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSilent})

	_, err = client.GetUserCard(context.Background(), membercard.GetUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	})
	switch {
	case errors.Is(err, membercard.ErrAttemptTimeout):
		fmt.Println("the service is slow")
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("the caller's time is over")
	}
	// Output: the service is slow
}

// An answer that cannot be trusted: nothing of it is used, and the reason says where to look.
func ExampleSignatureError() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStaleTimestamp})

	_, err := client.GetUserCard(context.Background(), membercard.GetUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	})
	if untrusted, ok := errors.AsType[*membercard.SignatureError](err); ok {
		switch untrusted.Reason {
		case membercard.ReasonStaleClock:
			fmt.Println("set this machine's clock, it is off by about", -untrusted.Skew.Round(time.Minute))
		case membercard.ReasonUnknownSerial:
			fmt.Println("configure the WeChat Pay public key", untrusted.Serial)
		default:
			fmt.Println("raise an alarm:", err)
		}
	}
	// Output: set this machine's clock, it is off by about 10m0s
}
