package membercardtest_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
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

const cardURI = "/v3/brand/partner/card-member/user-cards/" + code + "?brand_id=" + brandID + "&card_id=" + cardID + "&openid=" + openID

// answer is what the fake says.
type answer struct {
	status int
	header http.Header
	body   []byte
	Code   string
	Text   string `json:"message"`
	Detail struct {
		Field, Issue, Location string
		Value                  any
	}
}

func answerTo(t *testing.T, server *membercardtest.Server, request *http.Request) (a answer) {
	t.Helper()
	response, err := server.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	a.status, a.header = response.StatusCode, response.Header
	a.body, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	if len(a.body) > 0 {
		require.NoError(t, json.Unmarshal(a.body, &a))
	}
	return a
}

// upload returns a signed upload whose parts have these headers, in this order.
func upload(t *testing.T, server *membercardtest.Server, picture, meta string, heads ...string) *http.Request {
	t.Helper()
	var body strings.Builder
	for _, head := range heads {
		data := meta
		if strings.Contains(head, `name="file"`) {
			data = picture
		}
		body.WriteString("--boundary\r\n" + head + "\r\n\r\n" + data + "\r\n")
	}
	body.WriteString("--boundary--\r\n")
	const uri = "/v3/marketing/favor/media/image-upload"
	request := sign(t, server, "POST", uri, body.String(), func(timestamp, nonce string) string {
		return "POST\n" + uri + "\n" + timestamp + "\n" + nonce + "\n" + meta + "\n"
	})
	request.Header.Set("Content-Type", "multipart/form-data; boundary=boundary")
	return request
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

// TestAnswersOfRefusals: message, detail, number and headers are those of the service.
func TestAnswersOfRefusals(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	with := func(change func(http.Header)) *http.Request {
		request := sign(t, server, "GET", cardURI, "", nil)
		change(request.Header)
		return request
	}
	authorization := func(from, to string) func(http.Header) {
		return func(h http.Header) { h.Set("Authorization", strings.Replace(h.Get("Authorization"), from, to, 1)) }
	}

	messages := map[string]bool{}
	for _, change := range []func(http.Header){
		func(h http.Header) { h.Del("Authorization") },
		authorization("WECHATPAY2-SHA256-RSA2048", "Bearer"),
		authorization(`timestamp="1`, `timestamp="2`),
		authorization(membercardtest.CertificateSerial, strings.Repeat("0", 40)),
		authorization(membercardtest.MchID, "1900000000"),
		authorization(`mchid=`, `merchant=`),
		authorization(`nonce_str="`, `nonce_str="x`),
	} {
		a := answerTo(t, server, with(change))
		assert.Equal(t, 401, a.status)
		assert.Equal(t, "SIGN_ERROR", a.Code)
		assert.Empty(t, a.header.Get("Wechatpay-Signature"))
		assert.True(t, strings.HasSuffix(a.header.Get("Request-Id"), "-268443699"))
		assert.Equal(t, a.Text == "错误的签名，验签失败", a.Detail.Issue == "sign not match", a.Text)
		messages[a.Text] = true
	}
	assert.Len(t, messages, 7, "one for each cause")

	for _, header := range []string{"User-Agent", "Accept"} {
		a := answerTo(t, server, with(func(h http.Header) { h.Del("Authorization"); h.Set(header, "") }))
		assert.Equal(t, 400, a.status, "before the signature")
		assert.Equal(t, "INVALID_REQUEST", a.Code)
	}
	for _, method := range []string{"PUT", "DELETE", "POST"} {
		a := answerTo(t, server, sign(t, server, method, cardURI, "", nil))
		assert.Equal(t, 405, a.status)
		assert.Empty(t, a.body)
	}

	a := answerTo(t, server, sign(t, server, "GET", strings.Replace(cardURI, code, "a%20b", 1), "", nil))
	assert.Equal(t, "uri_template", a.Detail.Location)
	assert.Equal(t, "user_card_code", a.Detail.Field)
	a = answerTo(t, server, sign(t, server, "GET", cardURI+"&x=1&y=2", "", nil))
	assert.Equal(t, []any{"/query/x", "/query/y"}, a.Detail.Value)
	assert.True(t, strings.HasSuffix(a.header.Get("Request-Id"), "-270924358"))
	const body = `{"brand_id":"` + brandID + `","card_id":"` + cardID + `","openid":"` + openID + `","level":7}`
	a = answerTo(t, server, sign(t, server, "PATCH", "/v3/brand/partner/card-member/user-cards/"+code, body, nil))
	assert.EqualValues(t, 7, a.Detail.Value)
	assert.Equal(t, "/level", a.Detail.Field)

	for language, want := range map[string]string{
		"": "用户会员卡不存在", "fr": "用户会员卡不存在", "en": "no card has this template, code and openid", "zh-TW, en;q=0.5": "用戶會員卡不存在",
	} {
		request := sign(t, server, "GET", strings.Replace(cardURI, code, "000", 1), "", nil)
		request.Header.Set("Accept-Language", language)
		a := answerTo(t, server, request)
		assert.Equal(t, 404, a.status)
		assert.Equal(t, want, a.Text)
		assert.NotEmpty(t, a.header.Get("Wechatpay-Signature"))
		assert.False(t, strings.HasSuffix(a.header.Get("Request-Id"), "-0"))
	}
	a = answerTo(t, server, sign(t, server, "GET", cardURI, "", nil))
	assert.True(t, strings.HasSuffix(a.header.Get("Request-Id"), "-0"))
	assert.Equal(t, "zh-CN", a.header.Get("Content-Language"))
	assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
}

// TestMembership: who can join, and who cannot come back.
func TestMembership(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := server.Client()
	template := server.AddCard(membercard.Card{BrandID: brandID})
	imported := func(openID, code string) string {
		_, err := client.ImportUserCardByOpenID(t.Context(), membercard.ImportUserCardByOpenIDRequest{
			BrandID: brandID, CardID: template.CardID, OpenID: openID, UserCardCode: code,
		})
		return messageOf(err)
	}
	token := func(openID string) string {
		_, err := client.CreatePreAuthToken(t.Context(), membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: template.CardID, OpenID: openID})
		return messageOf(err)
	}
	assert.Empty(t, token("o-1"))
	opened := server.OpenUserCard(template.CardID, "o-1")
	assert.Equal(t, "用户已有待激活的会员卡", imported("o-1", "A"))
	_, err := client.ConfirmUserCard(t.Context(), membercard.ConfirmUserCardRequest{
		BrandID: brandID, CardID: template.CardID, OpenID: "o-1", UserCardCode: "another", UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	assert.Equal(t, "会员卡号分配方式为系统分配，不允许修改会员卡号", messageOf(err))
	_, err = client.ConfirmUserCard(t.Context(), membercard.ConfirmUserCardRequest{
		BrandID: brandID, CardID: template.CardID, OpenID: "o-1", UserCardCode: opened.UserCardCode, UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	require.NoError(t, err)
	assert.Equal(t, "用户已有已生效的会员卡", imported("o-1", "A"))
	assert.Equal(t, "用户在一个卡模板下只能有一张有效的会员卡", token("o-1"))
	assert.Equal(t, "该用户卡 code 已存在", imported("o-2", opened.UserCardCode))

	assert.Equal(t, membercard.UserCardStateInvalid, server.DeleteUserCard(template.CardID, opened.UserCardCode).UserCardState)
	assert.Panics(t, func() { server.DeleteUserCard(template.CardID, opened.UserCardCode) })
	assert.Equal(t, "用户主动删除了该会员卡，无法重新导入", imported("o-1", "B"))
	assert.Panics(t, func() { server.OpenUserCard(template.CardID, "o-1") })

	_, err = client.InvalidateCard(t.Context(), membercard.InvalidateCardRequest{BrandID: brandID, CardID: template.CardID})
	require.NoError(t, err)
	assert.Equal(t, "会员卡模板无效", token("o-3"))
	assert.Equal(t, "会员卡模板无效", imported("o-3", "C"))
}

func messageOf(err error) string {
	if err == nil {
		return ""
	}
	if refusal, ok := errors.AsType[*membercard.APIError](err); ok {
		return strings.TrimSpace(strings.ReplaceAll(refusal.Message, "\u00a0", " "))
	}
	return "not refused by the service: " + err.Error()
}

// TestValidities: the ten refusals of a validity.
func TestValidities(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := server.Client()
	begin, end := membercard.Timestamp{Time: time.Now()}, membercard.Timestamp{Time: time.Now().Add(time.Hour)}
	for i, test := range []struct {
		template membercard.DateType
		validity membercard.DateInfo
		message  string
	}{
		{membercard.DateTypePermanent, membercard.DateInfo{Type: membercard.DateTypeFixTerm, AvailableDayAfterReceive: new(1)}, "卡模版有效期类型和请求的有效期类型不一致"},
		{membercard.DateTypeFixTimeRange, membercard.DateInfo{AvailableBeginTime: begin}, "绝对有效期卡模板必填有效期信息"},
		{membercard.DateTypeFixTimeRange, membercard.DateInfo{AvailableBeginTime: begin, AvailableEndTime: end, AvailableDayAfterReceive: new(1)}, "固定时间范围不允许填写领取后有效天数"},
		{membercard.DateTypeFixTimeRange, membercard.DateInfo{AvailableBeginTime: end, AvailableEndTime: begin}, "固定时间范围的开始时间不能大于结束时间"},
		{membercard.DateTypeFixTerm, membercard.DateInfo{}, "相对有效期卡模板必填有效天数信息"},
		{membercard.DateTypeFixTerm, membercard.DateInfo{AvailableDayAfterReceive: new(1), AvailableEndTime: end}, "相对有效期卡模板必填有效天数信息"},
		{membercard.DateTypeFixTerm, membercard.DateInfo{AvailableDayAfterReceive: new(0)}, "领取后有效天数必须大于0"},
		{membercard.DateTypeFixTerm, membercard.DateInfo{AvailableDayAfterReceive: new(10959)}, "领取后有效天数不能大于30年"},
		{membercard.DateTypeFixTerm, membercard.DateInfo{AvailableDayAfterReceive: new(10958)}, ""},
		{membercard.DateTypePermanent, membercard.DateInfo{AvailableDayAfterReceive: new(1)}, "永久有效不允许设置相对有效期"},
		{membercard.DateTypePermanent, membercard.DateInfo{AvailableBeginTime: begin}, "永久有效不允许设置固定时间有效的开始时间"},
		{membercard.DateTypePermanent, membercard.DateInfo{AvailableEndTime: end}, "永久有效不允许设置固定时间有效的结束时间"},
		{membercard.DateTypePermanent, membercard.DateInfo{}, ""},
	} {
		template := server.AddCard(membercard.Card{BrandID: brandID, ValidDateInformation: membercard.DateInfo{Type: test.template}})
		card := server.AddUserCard(membercard.UserCard{CardID: template.CardID})
		if test.validity.Type == "" {
			test.validity.Type = test.template
		}
		_, err := client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID, ValidDateInformation: &test.validity,
		})
		assert.True(t, strings.HasPrefix(messageOf(err), test.message) && (err == nil) == (test.message == ""), "%d: %v", i, err)
	}
}

// TestUserAnswers: a card has answers to what its template asks for, in the documented formats.
func TestUserAnswers(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := server.Client()
	template := server.AddCard(membercard.Card{BrandID: brandID, UserInformation: &membercard.UserInfoForm{
		CommonFieldList: []membercard.CommonFieldFlag{membercard.CommonFieldFlagSex, membercard.CommonFieldFlagBirthday, membercard.CommonFieldFlagEmail},
		CustomFieldList: []membercard.UserCustomFieldForm{{Type: membercard.CustomFieldTypeRadio, Name: "运动", Values: []string{"篮球", "足球"}}},
	}})
	card := server.AddUserCard(membercard.UserCard{CardID: template.CardID})
	update := func(info membercard.UserInfo) string {
		_, err := client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID, UserInformation: &info,
		})
		return messageOf(err)
	}
	common := func(values ...string) string {
		info := membercard.UserInfo{}
		for i := 0; i < len(values); i += 2 {
			info.CommonFieldList = append(info.CommonFieldList, membercard.UserInfoCommonField{
				Name: membercard.CommonFieldFlag("USER_FORM_FLAG_" + values[i]), Value: membercard.NewSensitive(values[i+1]),
			})
		}
		return update(info)
	}
	custom := func(name string, values ...string) string {
		field := membercard.UserInfoCustomField{Name: name}
		for _, value := range values {
			field.UserChosenValues = append(field.UserChosenValues, membercard.NewSensitive(value))
		}
		return update(membercard.UserInfo{CustomFieldList: []membercard.UserInfoCustomField{field}})
	}
	assert.Empty(t, common("SEX", "女", "BIRTHDAY", "2000-01-31", "EMAIL", "a@b.cn"))
	assert.Empty(t, custom("运动", "足球"))
	assert.Contains(t, common("SEX", "x"), "性别格式不正确")
	assert.Contains(t, common("BIRTHDAY", "2000-1-31"), "生日格式不正确")
	assert.Contains(t, common("EMAIL", "a at b"), "邮箱格式不正确")
	assert.Contains(t, common("SEX", "女", "SEX", "男"), "用户信息通用字段存在重复项")
	assert.Contains(t, common("CITY", "广东,深圳"), "请求的用户信息通用字段未定义在卡模版中")
	assert.Contains(t, custom("食物", "足球"), "自定义字段未定义在卡模版中")
	assert.Contains(t, custom("运动", "网球"), "用户选择的值的字符串非法")
	assert.Contains(t, custom("运动", "足球", "篮球"), "用户选择的值的字符串非法")
}

// TestTemplatesOfAType: two of a type for each brand, a request number once, those of seeds too.
func TestTemplatesOfAType(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	server.AddCard(membercard.Card{BrandID: brandID, OutRequestNo: "no-1"})
	client := server.Client()
	create := func(number string) error {
		_, err := client.CreateCard(t.Context(), createCardRequest(func(r *membercard.CreateCardRequest) { r.OutRequestNo = number }))
		return err
	}
	assert.Equal(t, "商家请求单号重复", messageOf(create("no-1")))
	require.NoError(t, create("no-2"))
	assert.Equal(t, "会员卡模板数量超过限制，每个类型最多创建两个模板", messageOf(create("no-3")))
}

// TestScheduleOfRepeats: WeChat Pay delivers a notification again every minute, at most 11 times, and a points question
// never.
func TestScheduleOfRepeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		start := time.Now()
		statuses, err := server.Notify(t.Context(), &membercard.PointsSyncRequested{CardID: unreachable(server)}, membercardtest.NotificationRepeats())
		require.Error(t, err)
		assert.Len(t, statuses, 1)
		assert.Zero(t, time.Since(start))
		statuses, err = server.Notify(t.Context(), &membercard.UserCardCreated{UserCard: membercard.UserCard{CardID: unreachable(server)}}, membercardtest.NotificationRepeats())
		require.Error(t, err)
		assert.Len(t, statuses, 12)
		assert.Equal(t, 11*time.Minute, time.Since(start))
	})
}

// unreachable adds a template whose notifications go nowhere.
func unreachable(server *membercardtest.Server) string {
	return server.AddCard(membercard.Card{NotifyURL: "http://127.0.0.1:1/"}).CardID
}

// TestSecurityEcho: what is sent comes back, and an event of it, encrypted for the merchant.
func TestSecurityEcho(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	echo, err := client.SecurityEcho(t.Context(), membercard.SecurityEchoRequest{EchoMessage: "hello", EncryptedEchoMessage: membercard.NewSensitive("secret")})
	require.NoError(t, err)
	assert.Equal(t, "hello", echo.EchoMessage)
	text, err := client.Decrypt(echo.EncryptedEchoMessage)
	require.NoError(t, err)
	assert.Equal(t, "secret", text)
	echo, err = client.SecurityEcho(t.Context(), membercard.SecurityEchoRequest{EchoMessage: "hello"})
	require.NoError(t, err)
	assert.True(t, echo.EncryptedEchoMessage.IsZero())

	notification, err := client.ParseNotification(server.NotificationRequest(
		&membercard.SecurityEchoed{EchoMessage: "hello", EncryptEchoMessage: membercard.NewSensitive("secret")}))
	require.NoError(t, err)
	event, ok := notification.Event.(*membercard.SecurityEchoed)
	require.True(t, ok)
	assert.Equal(t, "SECURITY_ECHO.SUCCESS", notification.EventType)
	text, err = client.Decrypt(event.EncryptEchoMessage)
	require.NoError(t, err)
	assert.Equal(t, "secret", text)
}

// TestFaultsWithCertificates are what they say: an answer of another time is signed properly.
func TestFaultsWithCertificates(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithCertificates())
	list := answerTo(t, server, sign(t, server, "GET", "/v3/certificates", "", nil))
	var opened struct {
		Data []struct {
			EncryptCertificate struct {
				Nonce, Ciphertext string
				AssociatedData    string `json:"associated_data"`
			} `json:"encrypt_certificate"`
		}
	}
	require.NoError(t, json.Unmarshal(list.body, &opened))
	require.Len(t, opened.Data, 1)
	sealed := opened.Data[0].EncryptCertificate
	ciphertext, err := base64.StdEncoding.DecodeString(sealed.Ciphertext)
	require.NoError(t, err)
	block, err := aes.NewCipher([]byte(membercardtest.APIv3Key))
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	plain, err := gcm.Open(nil, []byte(sealed.Nonce), ciphertext, []byte(sealed.AssociatedData))
	require.NoError(t, err)
	decoded, _ := pem.Decode(plain)
	certificate, err := x509.ParseCertificate(decoded.Bytes)
	require.NoError(t, err)
	for _, kind := range []membercardtest.FaultKind{membercardtest.FaultStaleTimestamp, membercardtest.FaultFutureTimestamp} {
		server.Inject(membercardtest.Fault{Kind: kind})
		a := answerTo(t, server, sign(t, server, "GET", cardURI, "", nil))
		timestamp := a.header.Get("Wechatpay-Timestamp")
		seconds, err := strconv.ParseInt(timestamp, 10, 64)
		require.NoError(t, err)
		assert.Greater(t, time.Until(time.Unix(seconds, 0)).Abs(), 9*time.Minute)
		digest := sha256.Sum256([]byte(timestamp + "\n" + a.header.Get("Wechatpay-Nonce") + "\n" + string(a.body) + "\n"))
		signature, err := base64.StdEncoding.DecodeString(a.header.Get("Wechatpay-Signature"))
		require.NoError(t, err)
		require.NoError(t, rsa.VerifyPKCS1v15(certificate.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], signature), kind)
	}
}

// TestRotateMerchantKey: the old certificate signs on, and what is encrypted is for the new one.
func TestRotateMerchantKey(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	before := server.Config()
	server.RotateMerchantKey()
	after := server.Config()
	assert.NotEqual(t, before.CertificateSerial, after.CertificateSerial)

	old, err := membercard.New(before)
	require.NoError(t, err)
	card, err := old.GetUserCard(t.Context(), get)
	require.NoError(t, err, "the old certificate is still valid")
	_, err = old.Decrypt(card.PhoneNumber)
	require.Error(t, err)

	after.PreviousKeys = append(after.PreviousKeys, before.PrivateKey.(*rsa.PrivateKey))
	client, err := membercard.New(after)
	require.NoError(t, err)
	text, err := client.Decrypt(card.PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, "13800000000", text)
	assert.NotPanics(t, func() { server.AddUserCard(membercard.UserCard{OpenID: "o-2", PhoneNumber: card.PhoneNumber}) }, "seeds may be from answers")
}

// TestWithdrawnOperations: what the service no longer has is not there.
func TestWithdrawnOperations(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t, membercardtest.AllowViolations())
	_, err := server.Client().CreatePayViewToken(t.Context(), membercard.CreatePayViewTokenRequest{BrandID: brandID, CardID: cardID, OpenID: openID})
	var refused *membercard.APIError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 404, refused.StatusCode)
	assert.Empty(t, refused.Code)
	assert.Contains(t, server.Requests()[0].Reason, "WithWithdrawnOperations")
}

// TestARequestWhoseCallerHasGone is carried out all the same: what a caller sees right after its time is up is no proof.
func TestARequestWhoseCallerHasGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		client := newClient(server)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSlow, Delay: 5 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.InvalidateUserCard(ctx, membercard.InvalidateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID})
		require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
		card, _ := server.UserCard(cardID, code)
		assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState)
		time.Sleep(4*time.Second + time.Millisecond)
		synctest.Wait()
		card, _ = server.UserCard(cardID, code)
		assert.Equal(t, membercard.UserCardStateInvalid, card.UserCardState)
		assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, code))
	})
}

// TestALateRequestKeepsNobody: a server that nobody closes, in a bubble that ends before.
func TestALateRequestKeepsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := membercardtest.NewServer()
		card := server.AddCard(membercard.Card{})
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSlow, Delay: 20 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := server.Client().GetCard(ctx, membercard.GetCardRequest{BrandID: membercardtest.BrandID, CardID: card.CardID})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// TestWhatIsRecordedOfAFault is what the caller was told.
func TestWhatIsRecordedOfAFault(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultHTML, Status: 502, AfterEffect: true})
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "X", Message: "told"})
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSlow, Header: http.Header{"Request-Id": {"mine"}, "Cache-Control": {"max-age=1"}}})
	client := newClient(server)
	for range 3 {
		_, err := client.GetCard(t.Context(), membercard.GetCardRequest{CardID: "none", BrandID: brandID})
		require.Error(t, err)
	}
	requests := server.Requests()
	require.Len(t, requests, 3)
	assert.Empty(t, requests[0].Code+requests[0].Message)
	assert.Contains(t, requests[0].Reason, "fault: HTML answer; ")
	assert.Equal(t, "told", requests[1].Message)
	assert.Equal(t, "mine", requests[2].RequestID)
	for _, operation := range []membercard.Operation{"getUserCard", "GetUserCar"} {
		assert.Panics(t, func() { server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Operation: operation}) })
	}
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Times: -1})
	_, err := client.GetCard(t.Context(), membercard.GetCardRequest{CardID: cardID, BrandID: brandID})
	require.Error(t, err)
	_, faults := newControl(t, server).call("GET", "/faults", "")
	assert.InDelta(t, -1, faults.([]any)[0].(map[string]any)["times"], 0)
}

// TestATruncatedAnswerHasBegun: what a client sees of it is the beginning, over a socket as well.
func TestATruncatedAnswerHasBegun(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"identity", "gzip"} {
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultTruncated})
		request := sign(t, server, "GET", cardURI, "", nil)
		request.Header.Set("Accept-Encoding", encoding)
		request.URL.Scheme, request.URL.Host, request.RequestURI = "http", strings.TrimPrefix(server.Start(), "http://"), ""
		response, err := new(http.Transport).RoundTrip(request)
		require.NoError(t, err, encoding)
		begin, err := io.ReadAll(response.Body)
		require.Error(t, err)
		assert.NotEmpty(t, begin)
	}
}

// TestThroughAProxy: a request line in absolute form is the same request.
func TestThroughAProxy(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	request := sign(t, server, "GET", cardURI, "", nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.Start(), "http://"))
	require.NoError(t, err)
	defer conn.Close()
	request.URL.Scheme, request.URL.Host = "http", "api.mch.weixin.qq.com"
	require.NoError(t, request.WriteProxy(conn))
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, http.StatusOK, response.StatusCode)
}

// TestAnUploadOfAnotherName is refused, and so is one with a query.
func TestAnUploadOfAnotherName(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	const png = "\x89PNG\r\n\x1a\n and more"
	digest := sha256.Sum256([]byte(png))
	meta := `{"filename":"a.png","sha256":"` + hex.EncodeToString(digest[:]) + `"}`
	heads := []string{"Content-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json", "Content-Disposition: form-data; name=\"file\"; filename=\"b.png\"\r\nContent-Type: image/png"}
	a := answerTo(t, server, upload(t, server, png, meta, heads...))
	assert.Equal(t, 403, a.status)
	assert.Equal(t, "图片meta信息不一致", a.Text)
}
