package membercardtest_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// member is a name and a value of an object, or a parameter of a query. A list of them keeps the order
// and can hold a name twice.
type member struct {
	name  string
	value any
}

type object []member

func (o object) MarshalJSON() ([]byte, error) {
	var members []string
	for _, m := range o {
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		members = append(members, fmt.Sprintf("%q:%s", m.name, value))
	}
	return []byte("{" + strings.Join(members, ",") + "}"), nil
}

// message is a request before it is signed.
type message struct {
	operation membercard.Operation
	method    string
	path      []member // segments; those with a name are parameters
	query     object
	body      object
	header    http.Header
	authorize func(items map[string]string) string // nil: properly
	ofBrand   bool                                 // in the brand edition
}

// caller is the item of Authorization that says who calls.
func (m *message) caller() string {
	if m.ofBrand {
		return "brand_id"
	}
	return "mchid"
}

// forBrand returns the message as the brand edition has it, nil where the edition has no such operation.
func (m *message) forBrand(keyID string) *message {
	switch m.operation {
	case membercard.OperationImportUserCardByPhone, membercard.OperationCreatePayViewToken, membercard.OperationCreateActivity,
		membercard.OperationListActivities, membercard.OperationGetActivity, membercard.OperationUpdateActivity, membercard.OperationTerminateActivity:
		return nil
	}
	c, isBrand := m.clone(), func(m member) bool { return m.name == "brand_id" }
	c.ofBrand = true
	c.path = append([]member{{"", "brand"}}, c.path[3:]...)
	c.query, c.body = slices.DeleteFunc(c.query, isBrand), slices.DeleteFunc(c.body, isBrand)
	c.header.Set("Wechatpay-Serial", keyID)
	if len(c.body) == 0 {
		c.body = nil
		c.header.Del("Content-Type")
	}
	return c
}

func (m *message) clone() *message {
	c := *m
	c.path, c.query, c.header = slices.Clone(m.path), slices.Clone(m.query), m.header.Clone()
	if m.body != nil {
		c.body = cloneValue(m.body).(object)
	}
	return &c
}

func cloneValue(value any) any {
	switch v := value.(type) {
	case object:
		c := make(object, len(v))
		for i, m := range v {
			c[i] = member{m.name, cloneValue(m.value)}
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = cloneValue(e)
		}
		return c
	}
	return value
}

// send signs a message with the standard library and sends it.
func (m *message) send(t *testing.T, server *membercardtest.Server) (status int, code string) {
	t.Helper()
	var uri strings.Builder
	for _, segment := range m.path {
		uri.WriteString("/" + url.PathEscape(fmt.Sprint(segment.value)))
	}
	for i, parameter := range m.query {
		uri.WriteString(map[bool]string{true: "?", false: "&"}[i == 0] + parameter.name + "=" + url.QueryEscape(fmt.Sprint(parameter.value)))
	}
	body := ""
	if m.body != nil {
		data, err := json.Marshal(m.body)
		require.NoError(t, err)
		body = string(data)
	}
	config := server.Config()
	items := map[string]string{
		m.caller(): config.MchID + config.BrandID, "serial_no": config.CertificateSerial,
		"nonce_str": rand.Text(), "timestamp": fmt.Sprint(time.Now().Unix()),
	}
	digest := sha256.Sum256([]byte(m.method + "\n" + uri.String() + "\n" + items["timestamp"] + "\n" + items["nonce_str"] + "\n" + body + "\n"))
	signature, err := config.PrivateKey.Sign(rand.Reader, digest[:], crypto.SHA256)
	require.NoError(t, err)
	items["signature"] = base64.StdEncoding.EncodeToString(signature)

	request, err := http.NewRequestWithContext(t.Context(), m.method, "https://api.mch.weixin.qq.com"+uri.String(), strings.NewReader(body))
	require.NoError(t, err)
	request.Header = m.header.Clone()
	if request.Header.Get("Authorization") == "" {
		authorize := m.authorize
		if authorize == nil {
			authorize = authorization
		}
		request.Header.Set("Authorization", authorize(items))
	} else {
		request.Header.Del("Authorization")
	}
	response, err := server.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	var problem struct{ Code string }
	if len(data) > 0 {
		require.NoError(t, json.Unmarshal(data, &problem))
	}
	return response.StatusCode, problem.Code
}

func authorization(items map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(items)) {
		parts = append(parts, name+`="`+items[name]+`"`)
	}
	scheme := "WECHATPAY2-SHA256-RSA2048 "
	if _, ofBrand := items["mchid"]; !ofBrand && items["brand_id"] != "" {
		scheme = "WECHATPAY-BRAND-SHA256-RSA2048 "
	}
	return scheme + strings.Join(parts, ",")
}

func encrypted(key *rsa.PublicKey, plaintext string) string {
	data, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, []byte(plaintext), nil)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(data)
}

const (
	brandID = "1004"
	cardID  = "pbLatjvWOibDc5-TBnbUk1pD12o0"
	openID  = "obLatjnx9gnqzS4myYGmLZ7LgLBA"
	code    = "478515832665"

	unconfirmed = "478515832666"
)

// validMessages returns the valid request of each operation with every parameter its page knows.
func validMessages(server *membercardtest.Server) []*message {
	key := server.Config().PublicKey
	path := func(segments ...string) []member {
		var path []member
		for _, segment := range append([]string{"v3", "brand", "partner", "card-member"}, segments...) {
			path = append(path, member{value: segment})
		}
		return path
	}
	withCode := func(path []member) []member {
		path[5] = member{"user_card_code", code}
		return path
	}
	headers := func(withBody bool) http.Header {
		h := http.Header{"Accept": {"application/json"}, "User-Agent": {"mutation"}, "Wechatpay-Serial": {membercardtest.PublicKeyID}}
		if withBody {
			h.Set("Content-Type", "application/json")
		}
		return h
	}
	brand, card, user := member{"brand_id", brandID}, member{"card_id", cardID}, member{"openid", openID}
	stranger := member{"openid", "stranger"}
	const sampleTime = "2020-05-20T13:29:35.120+08:00"
	validity := member{"valid_date_information", object{
		{"type", "FIX_TIME_RANGE"},
		{"available_begin_time", sampleTime},
		{"available_end_time", "2099-05-20T13:29:35+08:00"},
	}}
	picture := member{"card_picture_url", "https://wxpaylogo.qpic.cn/wxpaylogo/xxxxx/0"}
	answers := func() member {
		return member{"user_information", object{
			{"common_field_list", []any{object{{"name", "USER_FORM_FLAG_BIRTHDAY"}, {"value", encrypted(key, "1990-01-01")}}}},
			{"custom_field_list", []any{object{{"name", "喜欢的运动"}, {"user_chosen_values", []any{encrypted(key, "足球")}}}}},
		}}
	}
	phone := func() member { return member{"phone_number", encrypted(key, "13900000000")} }
	jump := func(name string) member {
		return member{name, object{{"jump_appid", "wxea9c30a90fs8d3fe"}, {"jump_path", "/pages/code/code"}}}
	}
	template := object{
		{"card_title", "测试卡"},
		{"card_color", "#FFFF00"},
		picture, jump("code_jump_information"),
		{"benefits", "会员折扣、专属价"},
		{"notify_url", "https://www.weixin.qq.com/wxpay/notify.php"},
		{"need_pinned", true},
		{"need_display_level", true},
		{"service_phone", "010-8877xxxx"},
		validity,
		jump("member_information"), jump("points_information"),
		{"user_information", object{
			{"common_field_list", []any{"USER_FORM_FLAG_SEX"}},
			{"custom_field_list", []any{object{{"type", "CHECK_BOX"}, {"name", "喜欢的运动"}, {"values", []any{"篮球"}}}}},
		}},
	}
	period := object{{"title", "入会享券"}, {"sub_title", "5张满减券"}, {"begin_time", sampleTime}, {"end_time", "2099-01-29T13:29:35.120+08:00"}}
	named := func(path []member, name, value string) []member {
		path[5] = member{name, value}
		return path
	}
	number, memberCode := member{"out_request_no", "100002322019090134234sfdf"}, member{"user_card_code", code}
	more := []*message{
		{
			operation: membercard.OperationCreateCard, method: "POST", path: path("cards"), header: headers(true),
			body: append(object{
				number, brand,
				{"appid", "wxea9c30890f48d5ae"},
				{"card_type", "NORMAL"},
				{"code_mode", "SYSTEM_ALLOCATE"},
				{"code_type", "JUMP_MINI_PROGRAM"},
				{"init_level", "白银会员"},
				{"legal_agreement", "商家需在 48 小时内发货"},
			}, template...),
		},
		{
			operation: membercard.OperationGetCard, method: "GET", path: named(path("cards", ""), "card_id", cardID), header: headers(false),
			query: object{brand},
		},
		{
			operation: membercard.OperationUpdateCard, method: "PATCH", path: named(path("cards", ""), "card_id", cardID), header: headers(true),
			body: append(object{brand}, template...),
		},
		{
			operation: membercard.OperationInvalidateCard, method: "POST", path: named(path("cards", "", "invalidate"), "card_id", cardID), header: headers(true),
			body: object{brand},
		},
		{
			operation: membercard.OperationConfirmUserCard, method: "POST", header: headers(true),
			path: named(path("user-cards", "", "confirm"), "user_card_code", unconfirmed),
			body: object{
				brand, card, user,
				{"card_color", "#FFFF00"},
				picture, phone(),
				{"level", "钻石会员"},
				validity, answers(),
				{"attach", "自定义数据说明"},
				{"user_card_confirm_state", "CREATE_CARD_SUCCESS"},
			},
		},
		{
			operation: membercard.OperationImportUserCardByOpenID, method: "POST", path: path("user-cards", "import-by-openid"), header: headers(true),
			body: object{
				brand, card, stranger,
				{"user_card_code", "imported"},
				phone(),
				{"card_color", "#FFFF00"},
				picture,
				{"level", "钻石会员"},
				answers(),
				validity,
				{"pickup_time", sampleTime},
			},
		},
		{
			operation: membercard.OperationImportUserCardByPhone, method: "POST", path: path("user-cards", "import-by-phone"), header: headers(true),
			body: object{
				brand, card,
				{"user_card_code", "imported"},
				phone(),
				{"level", "钻石会员"},
				answers(),
				validity,
				{"pickup_time", sampleTime},
			},
		},
		{
			operation: membercard.OperationSyncUserPoints, method: "POST", path: path("user-points", "sync"), header: headers(true),
			body: object{number, brand, card, user, memberCode, {"point_balance", 0}},
		},
		{
			operation: membercard.OperationConfirmPointsExchange, method: "POST", path: path("user-points", "exchange-coupon", "confirm"), header: headers(true),
			body: object{
				{"record_id", "record"},
				{"exchange_coupon_template_id", "exchange"},
				brand, card, user, memberCode,
				{"result", "POINT_EXCHANGE_COUPON_REJECT"},
				{"reject_reason", "积分不足"},
			},
		},
		{
			operation: membercard.OperationCreateUserFeed, method: "POST", path: path("user-feeds"), header: headers(true),
			body: object{brand, card, memberCode, user, number, {"cell", "15_8_1200_SUB1"}},
		},
		{
			operation: membercard.OperationCreatePreAuthToken, method: "POST", path: path("pre-auth-tokens"), header: headers(true),
			body: object{brand, card, stranger},
		},
		{
			operation: membercard.OperationCreatePayViewToken, method: "POST", path: path("pay-view-tokens"), header: headers(true),
			body: object{brand, card, user},
		},
		{
			operation: membercard.OperationCreateActivity, method: "POST", path: path("membership-activities"), header: headers(true),
			body: append(object{
				number, brand, card,
				{"activity_channel", "MECHANT_APP_COMPONENT"},
				{"apply_total", 1000},
				{"product_coupon_stock_list", []any{object{{"product_coupon_id", "701138812971763025610907319729"}, {"stock_id", "98065001"}}}},
			}, period...),
		},
		{
			operation: membercard.OperationListActivities, method: "GET", path: path("membership-activities"), header: headers(false),
			query: object{brand, card, {"activity_state", "MEMBERSHIP_ACTIVITY_EFFECTIVE"}, {"offset", 0}, {"limit", 20}},
		},
		{
			operation: membercard.OperationGetActivity, method: "GET", path: named(path("membership-activities", ""), "activity_id", "371067"), header: headers(false),
			query: object{brand},
		},
		{
			operation: membercard.OperationUpdateActivity, method: "PATCH", path: named(path("membership-activities", ""), "activity_id", "371067"), header: headers(true),
			body: append(object{brand}, period...),
		},
		{
			operation: membercard.OperationTerminateActivity, method: "POST", header: headers(true),
			path: named(path("membership-activities", "", "terminate"), "activity_id", "371067"), body: object{brand},
		},
	}
	return append([]*message{
		{
			operation: membercard.OperationListCards, method: "GET", path: path("cards"), header: headers(false),
			query: object{brand, {"state", "CARD_EFFECTIVE"}, {"offset", 0}, {"limit", 20}},
		},
		{
			operation: membercard.OperationListUserCards, method: "GET", path: path("user-cards"), header: headers(false),
			query: object{brand, user, {"user_card_state", "EFFECTIVE"}, {"offset", 0}, {"limit", 20}},
		},
		{
			operation: membercard.OperationGetUserCard, method: "GET", path: withCode(path("user-cards", "")), header: headers(false),
			query: object{brand, card, user},
		},
		{
			operation: membercard.OperationUpdateUserCard, method: "PATCH", path: withCode(path("user-cards", "")), header: headers(true),
			body: object{
				brand, card, user,
				{"card_color", "#FFFF00"},
				picture, phone(),
				{"level", "钻石会员"},
				validity, answers(),
				{"attach", "自定义数据说明"},
			},
		},
		{
			operation: membercard.OperationInvalidateUserCard, method: "POST", path: withCode(path("user-cards", "", "invalidate")), header: headers(true),
			body: object{brand, card, user, {"invalid_reason", "传入的自定义作废原因"}},
		},
	}, more...)
}

// overLimit holds, for each parameter, a value that is over its documented limit by one.
var overLimit = map[string]any{
	"brand_id": strings.Repeat("1", 33), "card_id": strings.Repeat("字", 33), "openid": strings.Repeat("o", 129),
	"user_card_code": strings.Repeat("1", 33), "state": "CARD_EFFECTIVE1", "user_card_state": "EFFECTIVE1",
	"offset": -1, "limit": 21, "card_color": "#FFFF000", "card_picture_url": "https://" + strings.Repeat("字", 249),
	"phone_number": strings.Repeat("A", 513), "level": strings.Repeat("字", 11), "attach": strings.Repeat("字", 257),
	"invalid_reason": strings.Repeat("字", 33), "type": "FIX_TERM_RANGE", "available_begin_time": "2020-05-20T1:29:35+08:00",
	"available_end_time": "2020-05-20T13:29:35+24:00",
	"name":               strings.Repeat("字", 33),
	"out_request_no":     strings.Repeat("x", 129), "CreateUserFeed out_request_no": strings.Repeat("x", 65), "appid": strings.Repeat("x", 33),
	"card_type": "NORMAL1", "code_mode": "MERCHANT_DEPOSIT", "code_type": "QRCODE", "card_title": strings.Repeat("字", 11),
	"benefits": strings.Repeat("字", 33), "notify_url": "https://www.weixin.qq.com/" + strings.Repeat("x", 231), "init_level": strings.Repeat("字", 11),
	"service_phone": strings.Repeat("1", 33), "legal_agreement": strings.Repeat("字", 20481), "jump_appid": strings.Repeat("x", 33),
	"jump_path": strings.Repeat("/", 129), "price": -1, "user_card_confirm_state": "CREATE_CARD", "pickup_time": "2020-05-20T13:29:35,12+08:00",
	"point_balance": -1, "record_id": strings.Repeat("x", 65), "exchange_coupon_template_id": strings.Repeat("x", 33),
	"result": "POINT_EXCHANGE_COUPON_SUCCESS", "reject_reason": strings.Repeat("字", 33), "cell": "15_" + strings.Repeat("1", 126),
	"activity_channel": "MERCHANT_APP_COMPONENT", "apply_total": 0, "title": strings.Repeat("字", 129), "sub_title": strings.Repeat("字", 129),
	"begin_time": "2020-05-20", "end_time": "2020-05-20", "activity_state": "CREATED", "activity_id": strings.Repeat("1", 33),
	"product_coupon_id": strings.Repeat("1", 129), "stock_id": strings.Repeat("1", 129),
}

// limitOf returns the value over the limit, which for some parameters depends on the operation.
func limitOf(m *message, name string) (any, bool) {
	if value, ok := overLimit[string(m.operation)+" "+name]; ok {
		return value, true
	}
	value, ok := overLimit[name]
	return value, ok
}

// optional holds the parameters that may be left out.
var optional = []string{
	"state", "user_card_state", "card_color", "card_picture_url", "phone_number", "level", "valid_date_information",
	"user_information", "attach", "invalid_reason", "available_day_after_receive", "common_field_list", "custom_field_list",
	"code_jump_information", "need_pinned", "need_display_level", "init_level", "service_phone", "legal_agreement", "member_information",
	"points_information", "balance_information", "purchase_information", "jump_appid", "jump_path", "price", "pickup_time", "activity_state",
}

// required reports whether a parameter of a message must be there.
func required(m *message, name string) bool {
	switch string(m.operation) + " " + name {
	case "ListActivities card_id":
		return false
	case "ImportUserCardByPhone phone_number", "CreateCard legal_agreement", "CreateCard member_information":
		return true
	}
	if m.operation == membercard.OperationUpdateCard && slices.Contains([]string{"card_title", "benefits", "notify_url"}, name) {
		return false
	}
	if m.operation == membercard.OperationCreateCard && slices.Contains([]string{"card_color", "card_picture_url", "valid_date_information"}, name) {
		return true
	}
	return !slices.Contains(optional, name)
}

type mutation struct {
	name   string
	status int
	code   string
	mutate func(*message)
}

// mutations returns every way to spoil a message.
func mutations(valid *message, other *rsa.PublicKey) []mutation {
	var all []mutation
	add := func(status int, code, name string, mutate func(*message)) {
		all = append(all, mutation{name, status, code, mutate})
	}
	unauthorized := func(name string, mutate func(*message)) { add(401, "SIGN_ERROR", name, mutate) }
	badHeader := func(name string, mutate func(*message)) { add(400, "INVALID_REQUEST", name, mutate) }
	badParameter := func(name string, mutate func(*message)) { add(400, "PARAM_ERROR", name, mutate) }

	unauthorized("Authorization dropped", func(m *message) { m.header.Set("Authorization", "drop") })
	unauthorized("scheme altered", func(m *message) {
		m.authorize = func(items map[string]string) string { return strings.Replace(authorization(items), "2048", "4096", 1) }
	})
	for _, item := range []string{valid.caller(), "serial_no", "nonce_str", "timestamp", "signature"} {
		unauthorized(item+" dropped", func(m *message) {
			m.authorize = func(items map[string]string) string { delete(items, item); return authorization(items) }
		})
		unauthorized(item+" altered", func(m *message) {
			m.authorize = func(items map[string]string) string {
				altered := "1"
				if strings.HasPrefix(items[item], "1") {
					altered = "2"
				}
				items[item] = altered + items[item][1:]
				return authorization(items)
			}
		})
		unauthorized(item+" doubled", func(m *message) {
			m.authorize = func(items map[string]string) string {
				return authorization(items) + "," + item + `="` + items[item] + `"`
			}
		})
	}
	unauthorized("end of the signature altered", func(m *message) {
		m.authorize = func(items map[string]string) string {
			items["signature"] = items["signature"][:300] + strings.Repeat("A", 44)
			return authorization(items)
		}
	})
	for name, altered := range map[string]string{"Accept": "text/html", "User-Agent": "", "Content-Type": "text/plain", "Wechatpay-Serial": "PUB_KEY_ID_OTHER"} {
		if valid.header.Get(name) == "" {
			continue
		}
		if name != "Wechatpay-Serial" || valid.ofBrand || slices.Contains([]membercard.Operation{
			membercard.OperationUpdateUserCard, membercard.OperationConfirmUserCard,
			membercard.OperationImportUserCardByOpenID, membercard.OperationImportUserCardByPhone,
		}, valid.operation) {
			drop := func(m *message) { m.header[name] = []string{""} }
			if name == "Wechatpay-Serial" && !valid.ofBrand { // the body has an encrypted value
				badParameter(name+" dropped", drop)
			} else {
				badHeader(name+" dropped", drop)
			}
		}
		switch {
		case name == "Wechatpay-Serial" && valid.ofBrand:
			badHeader(name+" altered", func(m *message) { m.header.Set(name, altered) })
		case name == "Wechatpay-Serial":
			if strings.Contains(fmt.Sprint(valid.body), "phone_number") { // otherwise nothing is to be opened with it
				badParameter(name+" altered", func(m *message) { m.header.Set(name, altered) })
			}
		case altered != "":
			badHeader(name+" altered", func(m *message) { m.header.Set(name, altered) })
		}
	}

	limit := func(name string) any {
		value, _ := limitOf(valid, name)
		return value
	}
	for i, segment := range valid.path {
		if segment.name == "" {
			continue
		}
		set := func(value any) func(*message) { return func(m *message) { m.path[i].value = value } }
		for name, value := range map[string]string{"emptied": "", "a point": ".", "two points": ".."} {
			add(404, "", segment.name+" "+name, set(value))
		}
		badParameter(segment.name+" over its limit", set(limit(segment.name)))
		if segment.name == "user_card_code" {
			badParameter(segment.name+" with a space", set("a b"))
			badParameter(segment.name+" in Chinese", set("会员"))
		}
		badParameter(segment.name+" in the query too", func(m *message) { m.query = append(m.query, segment) })
		badParameter(segment.name+" in the body too", func(m *message) { m.body = append(m.body, segment); m.header.Set("Content-Type", "application/json") })
	}
	for i, parameter := range valid.query {
		set := func(value any) func(*message) { return func(m *message) { m.query[i].value = value } }
		name := parameter.name
		badParameter(name+" emptied", set(""))
		badParameter(name+" over its limit", set(limit(name)))
		badParameter(name+" doubled", func(m *message) { m.query = append(m.query, parameter) })
		badParameter(name+" renamed", func(m *message) { m.query[i].name += "x" })
		badParameter(name+" moved to the body", func(m *message) {
			m.query = slices.Delete(m.query, i, i+1)
			m.body = append(m.body, parameter)
			m.header.Set("Content-Type", "application/json")
		})
		badParameter(name+" in the body too", func(m *message) {
			m.body = append(m.body, parameter)
			m.header.Set("Content-Type", "application/json")
		})
		if required(valid, name) {
			badParameter(name+" dropped", func(m *message) { m.query = slices.Delete(m.query, i, i+1) })
		}
		if _, isInteger := parameter.value.(int); isInteger {
			badParameter(name+" is no number", set("ten"))
		}
	}
	for _, place := range places(valid.body, nil) {
		at, name := place.in, place.name
		change := func(f func(in object, i int) object) func(*message) {
			return func(m *message) { m.body = replace(m.body, at, name, f) }
		}
		set := func(value any) func(*message) {
			return change(func(in object, i int) object { in[i].value = value; return in })
		}
		where := "body " + strings.Join(append(slices.Clone(at), name), "/")
		badParameter(where+" null", set(nil))
		another := any(true)
		if _, isBoolean := place.value.(bool); isBoolean {
			another = "true"
		}
		badParameter(where+" of another type", set(another))
		badParameter(where+" doubled", change(func(in object, i int) object { return append(in, in[i]) }))
		badParameter(where+" renamed", change(func(in object, i int) object { in[i].name += "x"; return in }))
		badParameter(where+" in another case", change(func(in object, i int) object { in[i].name = strings.ToUpper(in[i].name); return in }))
		if len(at) == 0 {
			badParameter(where+" moved to the query", func(m *message) {
				i := slices.IndexFunc(m.body, func(p member) bool { return p.name == name })
				m.query = append(m.query, member{name, place.value})
				m.body = slices.Delete(m.body, i, i+1)
			})
			badParameter(where+" in the query too", func(m *message) { m.query = append(m.query, member{name, place.value}) })
		}
		if required(valid, name) {
			badParameter(where+" dropped", change(func(in object, i int) object { return slices.Delete(in, i, i+1) }))
		}
		if value, ok := limitOf(valid, name); ok {
			badParameter(where+" over its limit", set(value))
		}
		switch value := place.value.(type) {
		case string:
			badParameter(where+" emptied", set(""))
			badParameter(where+" with an emoji", set("👑"))
			if len(value) == 344 {
				addEncrypted(badParameter, where, set, other)
			}
		case []any:
			badParameter(where+" with null", set([]any{nil}))
			element := func(v any) func(*message) { return set([]any{v}) }
			switch text, isText := value[0].(string); {
			case len(text) == 344:
				addEncrypted(badParameter, where, element, other)
			case isText:
				badParameter(where+" with an empty element", element(""))
				badParameter(where+" with an element over its limit", element(strings.Repeat("字", 9)))
			case name == "custom_field_list":
				badParameter(where+" over its limit", set([]any{value[0], value[0]}))
			}
			if name == "values" {
				badParameter(where+" over its limit", set(slices.Repeat([]any{"篮球"}, 11)))
			}
		}
	}
	if valid.body != nil {
		badParameter("no body", func(m *message) { m.body = nil })
		badParameter("an unknown parameter", func(m *message) { m.body = append(m.body, member{"sub_mchid", "1900000109"}) })
	}
	badParameter("an unknown query parameter", func(m *message) { m.query = append(m.query, member{"sub_mchid", "1900000109"}) })
	return all
}

func addEncrypted(add func(string, func(*message)), where string, set func(any) func(*message), other *rsa.PublicKey) {
	add(where+" in clear", set("13800000000"))
	add(where+" in Base64 that is no ciphertext", set(base64.StdEncoding.EncodeToString([]byte("13800000000"))))
	add(where+" in Base64 of a ciphertext's size", set(base64.StdEncoding.EncodeToString(make([]byte, 256))))
	add(where+" encrypted for another key", set(encrypted(other, "13800000000")))
}

type place struct {
	in    []string // names of the objects and lists above
	name  string
	value any
}

// places returns every member of a body, those in objects and in the first object of lists included.
func places(body object, in []string) []place {
	var all []place
	for _, m := range body {
		all = append(all, place{slices.Clone(in), m.name, m.value})
		below := m.value
		if elements, ok := below.([]any); ok {
			below = elements[0]
		}
		if o, ok := below.(object); ok {
			all = append(all, places(o, append(slices.Clone(in), m.name))...)
		}
	}
	return all
}

// replace changes the object that holds a member.
func replace(body object, in []string, name string, f func(object, int) object) object {
	find := func(name string) int {
		return slices.IndexFunc(body, func(m member) bool { return m.name == name })
	}
	if len(in) == 0 {
		return f(body, find(name))
	}
	i := find(in[0])
	if elements, ok := body[i].value.([]any); ok {
		elements[0] = replace(elements[0].(object), in[1:], name, f)
	} else {
		body[i].value = replace(body[i].value.(object), in[1:], name, f)
	}
	return body
}

// TestMutations spoils the valid request of every operation in every way. Each is refused with a stated
// status and code, and changes nothing.
func TestMutations(t *testing.T) {
	t.Parallel()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	total, sources := 0, map[string]int{}
	sourceOf := regexp.MustCompile(`\((documented|inferred|observed|membercardtest)[^()]*\)$`)
	type edition struct {
		valid   *message
		options []membercardtest.Option
	}
	var all []edition
	for _, valid := range validMessages(newServer(t)) {
		all = append(all, edition{valid, nil})
	}
	brandServer := newServer(t, membercardtest.WithBrandEdition())
	for i, valid := range validMessages(brandServer) {
		if brand := valid.forBrand(brandServer.Config().PublicKeyID); brand != nil && (i%3 == 0 || os.Getenv("MEMBERCARD_TESTS") == "all") {
			all = append(all, edition{brand, []membercardtest.Option{membercardtest.WithBrandEdition()}})
		}
	}
	for _, e := range all {
		valid := e.valid
		t.Run(fmt.Sprintf("%s %s", valid.caller(), valid.operation), func(t *testing.T) {
			server := newServer(t, e.options...)
			status, refusal := valid.clone().send(t, server)
			require.Equal(t, 200, status, "the valid request was refused: %s: %s", refusal, lastReason(server))

			server = newServer(t, append(e.options, membercardtest.AllowViolations())...)
			before := server.State()
			all := mutations(valid, &other.PublicKey)
			for _, mutation := range all {
				m := valid.clone()
				mutation.mutate(m)
				status, refusal := m.send(t, server)
				assert.Equal(t, mutation.status, status, "%s: %s", mutation.name, lastReason(server))
				assert.Equal(t, mutation.code, refusal, "%s: %s", mutation.name, lastReason(server))
				sources[sourceOf.FindString(lastReason(server))]++
				require.Equal(t, before, server.State(), mutation.name)
			}
			assert.Zero(t, server.AllEffects())
			t.Logf("%s: %d mutations refused", valid.operation, len(all))
			total += len(all)
		})
	}
	t.Logf("%d mutations in all: %v", total, sources)
	assert.Zero(t, sources[""], "every refusal says where it comes from")
	assert.Greater(t, sources["(observed)"], 500, "signatures, headers, parameters that are not defined")
	assert.Greater(t, sources["(documented)"], 500, "the tables of parameters")
}
