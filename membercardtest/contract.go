package membercardtest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/wechatpay-cards/membercard"
)

// The official pages as data: what each operation takes and answers, its limits and its errors.
var (
	//go:embed contract/partner.json
	partnerPages []byte
	//go:embed contract/others.json
	otherPages []byte
	//go:embed contract/events.json
	eventPages []byte
)

// page is an official page of an operation.
type page struct {
	Operation  membercard.Operation `json:"operation"`
	Doc        string               `json:"doc"`
	Method     string               `json:"method"`
	URL        string               `json:"url"`
	Header     []row                `json:"header"`
	PathParams []row                `json:"path_params"`
	Query      []row                `json:"query"`
	Body       []row                `json:"body"`
	Response   []row                `json:"response"`
	Errors     []errorRow           `json:"errors"`
	Withdrawn  bool                 `json:"withdrawn"` // an operation that the service no longer has
}

// row is a row of a table of parameters. A dot in the name descends into an object or the elements of an array.
type row struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Required bool     `json:"required"`
	Max      int      `json:"max"`
	Enum     []string `json:"enum"`
	Sealed   bool     `json:"sealed"` // encrypted
}

// errorRow is a row of a table of errors.
type errorRow struct {
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// pages returns the pages of all operations: the partner edition's, and those that are not in it.
var pages = sync.OnceValue(func() map[membercard.Operation]*page {
	all := map[membercard.Operation]*page{}
	for _, data := range [][]byte{partnerPages, otherPages} {
		var file struct {
			Operations []*page `json:"operations"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			panic(err)
		}
		for _, p := range file.Operations {
			all[p.Operation] = p
		}
	}
	return all
})

// eventPage is an official page of notifications.
type eventPage struct {
	EventTypes []string `json:"event_types"`
	Plaintext  []row    `json:"plaintext"` // of the content
}

// eventRows returns the rows of a notification's content by its event type.
var eventRows = sync.OnceValue(func() map[string][]parameter {
	var file []eventPage
	if err := json.Unmarshal(eventPages, &file); err != nil {
		panic(err)
	}
	all := map[string][]parameter{}
	for _, p := range file {
		for _, eventType := range p.EventTypes {
			all[eventType] = tree(p.Plaintext, "")
		}
	}
	return all
})

// source says how sure a refusal is: by which official page, or by what else.
type source string

const (
	observed source = "observed"       // in answers of the service on record, or its general rules
	inferred source = "inferred"       // from the pages, which do not say it
	ownRule  source = "membercardtest" // of this package, where nothing is known
)

// kind is the JSON type of a parameter.
type kind int

const (
	kindText kind = iota
	kindInteger
	kindBoolean
	kindObject
	kindList
)

// parameter is a row, with the rows of its members, and with the rules that the sheets know beside the table.
type parameter struct {
	name      string
	kind      kind
	elements  kind // of a list
	required  bool
	max       int // characters of a text, or of each text in a list
	enum      []string
	encrypted bool
	members   []parameter // of an object, or of the objects in a list
	rule
}

// rule is what the text of a page says of a parameter beside its table.
type rule struct {
	pattern  *regexp.Regexp
	isTime   bool   // RFC 3339
	min      int    // of an integer
	most     int    // of an integer, or of the elements of a list
	least    int    // of the elements of a list
	required bool   // inside an object, where the table cannot say so
	says     string // the message about a value that breaks a rule, and about one that is too long, as the pages that have it begin them
	tooLong  string
}

// rules holds the rules by the end of a parameter's name. The text of the pages has them, but for the pattern of
// card_picture_url, which is inferred from the samples.
var rules = map[string]rule{
	"user_card_code":                       {pattern: regexp.MustCompile(`^[!-~]+$`), says: "用户卡code 无效"},
	"card_title":                           {pattern: regexp.MustCompile(`^[\p{Han}\p{P}!-~！-～￥¥ 　]+$`), says: "卡名称仅支持", tooLong: "卡名称太长"},
	"available_day_after_receive":          {says: "领取后有效天数必须大于0"},
	"member_information.jump_appid":        {says: "会员中心跳转 AppID 或路径为空"},
	"member_information.jump_path":         {says: "会员中心跳转 AppID 或路径为空"},
	"code_jump_information.jump_appid":     {says: "会员码跳转 AppID 或路径为空"},
	"code_jump_information.jump_path":      {says: "会员码跳转 AppID 或路径为空"},
	"points_information.jump_appid":        {says: "积分跳转 AppID 或路径为空"},
	"points_information.jump_path":         {says: "积分跳转 AppID 或路径为空"},
	"balance_information.jump_appid":       {says: "储值跳转 AppID 或路径为空"},
	"balance_information.jump_path":        {says: "储值跳转 AppID 或路径为空"},
	"purchase_information.price":           {min: 1, says: "付费会员价格必须大于"},
	"purchase_information.jump_appid":      {says: "付费跳转 AppID 或路径为空"},
	"purchase_information.jump_path":       {says: "付费跳转 AppID 或路径为空"},
	"card_color":                           {pattern: regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)},
	"card_picture_url":                     {pattern: regexp.MustCompile(`^https?://([a-z0-9-]+\.)*qpic\.cn/`)},
	"out_request_no":                       {pattern: regexp.MustCompile(`^[A-Za-z0-9_-]+$`)},
	"notify_url":                           {pattern: regexp.MustCompile(`^https?://[^?#/\s]+/[^?#\s]*$`)},
	"limit":                                {min: 1, most: 20},
	"apply_total":                          {min: 1},
	"activity_id":                          {min: 1},
	"product_coupon_stock_list":            {least: 1, most: 200},
	"available_begin_time":                 {isTime: true},
	"available_end_time":                   {isTime: true},
	"begin_time":                           {isTime: true},
	"end_time":                             {isTime: true},
	"pickup_time":                          {isTime: true},
	"invalid_time":                         {isTime: true},
	"create_time":                          {isTime: true},
	"modify_time":                          {isTime: true},
	"expire_time":                          {isTime: true},
	"valid_date_information.type":          {required: true},
	"common_field_list.name":               {required: true},
	"common_field_list.value":              {required: true},
	"custom_field_list":                    {most: 1, says: customFields},
	"custom_field_list.type":               {required: true},
	"custom_field_list.name":               {required: true},
	"custom_field_list.values":             {required: true, least: 1, most: 10, says: customFields, tooLong: customFields},
	"custom_field_list.user_chosen_values": {required: true, least: 1, most: 10, says: customFields, tooLong: customFields},
}

const customFields = "商户自定义信息最多一项"

func ruleFor(name string) rule {
	for suffix := name; ; {
		if r, ok := rules[suffix]; ok {
			return r
		}
		_, rest, found := strings.Cut(suffix, ".")
		if !found {
			return rule{}
		}
		suffix = rest
	}
}

// tree turns the flat rows of a table into parameters with members.
func tree(rows []row, prefix string) []parameter {
	var parameters []parameter
	for _, r := range rows {
		name, isMember := strings.CutPrefix(r.Name, prefix)
		if !isMember || strings.Contains(name, ".") {
			continue
		}
		p := parameter{name: name, max: r.Max, enum: r.Enum, encrypted: r.Sealed, rule: ruleFor(r.Name)}
		p.required = r.Required || p.rule.required
		p.members = tree(rows, r.Name+".")
		switch r.Type {
		case "string", "message":
		case "integer", "uint32", "uint64":
			p.kind = kindInteger
		case "boolean":
			p.kind = kindBoolean
		case "object":
			p.kind = kindObject
		case "array of string":
			p.kind = kindList
		case "array of object":
			p.kind, p.elements = kindList, kindObject
		default:
			panic(fmt.Sprintf("membercardtest: the pages have a type %q", r.Type))
		}
		parameters = append(parameters, p)
	}
	return parameters
}

// answerRows returns the rows of an operation's answer.
func answerRows(operation membercard.Operation) []parameter {
	return tree(pages()[operation].Response, "")
}

// errorOf returns the error row of an operation's page whose message contains a text.
func errorOf(operation membercard.Operation, message string) (row errorRow, found bool) {
	rows := pages()[operation].Errors
	at := slices.IndexFunc(rows, func(row errorRow) bool { return strings.Contains(plain(row.Message), message) })
	if at < 0 {
		return errorRow{}, false
	}
	return rows[at], true
}

// documented returns the error row of an operation's page whose message contains a text, or that of another page.
func documented(operation membercard.Operation, message string) (errorRow, source) {
	if row, ok := errorOf(operation, message); ok {
		return row, source("documented " + pages()[operation].Doc)
	}
	for _, name := range slices.Sorted(maps.Keys(pages())) {
		if row, ok := errorOf(name, message); ok {
			return row, source("inferred from " + pages()[name].Doc)
		}
	}
	panic("membercardtest: no page has an error with the text " + message)
}

// plain replaces the no-break spaces of the pages.
func plain(text string) string { return strings.ReplaceAll(text, "\u00a0", " ") }
