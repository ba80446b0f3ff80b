package membercardtest

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// document is a JSON object: a resource as this server keeps it, or what was sent about one. Its members are those that the
// rows of a page describe. Times are text in the service's one form, sensitive values are in clear.
type document map[string]any

func (d document) has(name string) bool {
	_, has := d[name]
	return has
}

// text returns a member that is a text; "" where there is none.
func (d document) text(name string) string {
	value, _ := d[name].(string)
	return value
}

// number returns a member that is an integer; 0 where there is none.
func (d document) number(name string) int64 {
	value, _ := d[name].(json.Number)
	n, _ := value.Int64()
	return n
}

// boolean returns a member that is a boolean; false where there is none.
func (d document) boolean(name string) bool {
	value, _ := d[name].(bool)
	return value
}

// time returns a member that is a time; the zero time where there is none.
func (d document) time(name string) time.Time { return parseTime(d.text(name)) }

// object returns a member that is an object; nil where there is none.
func (d document) object(name string) document {
	value, _ := d[name].(map[string]any)
	return value
}

// texts returns a member that is a list of texts.
func (d document) texts(name string) (texts []string) {
	elements, _ := d[name].([]any)
	for _, element := range elements {
		text, _ := element.(string)
		texts = append(texts, text)
	}
	return texts
}

// objects returns a member that is a list of objects.
func (d document) objects(name string) (objects []document) {
	elements, _ := d[name].([]any)
	for _, element := range elements {
		object, _ := element.(map[string]any)
		objects = append(objects, object)
	}
	return objects
}

// setDefault sets a text that is not there, or empty.
func (d document) setDefault(name, value string) {
	if d.text(name) == "" {
		d[name] = value
	}
}

// with returns the document with another text.
func (d document) with(name, value string) document {
	changed := maps.Clone(d)
	changed[name] = value
	return changed
}

// merge changes the document as a JSON merge patch does: objects member by member, everything else as a whole.
func (d document) merge(change document) {
	for name, value := range change {
		members, isObject := value.(map[string]any)
		if old := d.object(name); isObject && old != nil {
			merged := maps.Clone(old) // what it is shared with stays as it is
			merged.merge(members)
			value = map[string]any(merged)
		}
		d[name] = value
	}
}

// project copies those members that the rows of a page describe, each text as write makes it.
func project(rows []parameter, d document, write func(parameter, string) string) document {
	projected := document{}
	for _, p := range rows {
		if value, has := d[p.name]; has {
			projected[p.name] = p.project(value, write)
		}
	}
	return projected
}

func (p parameter) project(value any, write func(parameter, string) string) any {
	switch v := value.(type) {
	case string:
		return write(p, v)
	case map[string]any:
		return map[string]any(project(p.members, v, write))
	case []any:
		elements := make([]any, len(v))
		for i, element := range v {
			elements[i] = p.project(element, write)
		}
		return elements
	}
	return value
}

// normalTime writes times as the service's answers have them.
func normalTime(p parameter, text string) string {
	if p.isTime {
		return formatTime(parseTime(text))
	}
	return text
}

// valueEncrypter returns what encrypts sensitive values for a merchant.
func valueEncrypter(merchant *rsa.PublicKey) func(parameter, string) string {
	return func(p parameter, text string) string {
		if p.encrypted {
			return encryptValue(merchant, text)
		}
		return text
	}
}

var zone = time.FixedZone("", 8*60*60)

// formatTime writes a time with milliseconds, as every official sample has it.
func formatTime(t time.Time) string {
	return t.In(zone).Format("2006-01-02T15:04:05.000-07:00")
}

func parseTime(s string) time.Time {
	t, _ := time.Parse(time.RFC3339, s)
	return t
}

func jsonNumber[T int | int64](n T) json.Number { return json.Number(strconv.FormatInt(int64(n), 10)) }

// documentOf turns a value of membercard's into a document by its JSON, without what is empty. It panics when the JSON has not
// the form of these rows.
func documentOf(rows []parameter, value any) document {
	decoder := json.NewDecoder(bytes.NewReader(encode(value)))
	decoder.UseNumber()
	var members map[string]any
	if err := decoder.Decode(&members); err != nil {
		panic(err)
	}
	return project(rows, withoutEmpty(rows, fmt.Sprintf("membercardtest: %T: ", value), members), normalTime)
}

// withoutEmpty returns an object without empty texts, objects and lists.
func withoutEmpty(rows []parameter, path string, members map[string]any) map[string]any {
	filled := map[string]any{}
	for name, value := range members {
		at := slices.IndexFunc(rows, func(p parameter) bool { return p.name == name })
		if at < 0 {
			panic(path + name + " is in no row of the page")
		}
		switch v := value.(type) {
		case map[string]any:
			value = withoutEmpty(rows[at].members, path+name+".", v)
		case []any:
			for i, element := range v {
				if object, ok := element.(map[string]any); ok {
					v[i] = withoutEmpty(rows[at].members, path+name+".", object)
				}
			}
		}
		if !rows[at].admits(value) {
			panic(path + name + " is of another type than the page says")
		}
		if !isEmpty(value) {
			filled[name] = value
		}
	}
	return filled
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return value == nil
}

// admits reports whether a value has the type of a row. Null has every type.
func (p parameter) admits(value any) bool {
	switch value.(type) {
	case string:
		return p.kind == kindText
	case json.Number:
		return p.kind == kindInteger
	case bool:
		return p.kind == kindBoolean
	case map[string]any:
		return p.kind == kindObject
	case []any:
		return p.kind == kindList
	}
	return true
}

// valueOf turns a document into a value of membercard's by its JSON. It panics when membercard does not know a member.
func valueOf[T any](d document) (value T) {
	decoder := json.NewDecoder(bytes.NewReader(encode(d)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&value); err != nil {
		panic(fmt.Sprintf("membercardtest: %T: %v", value, err))
	}
	return value
}

// userCardDocument turns a user's card into a document, sensitive values in clear.
func (s *Server) userCardDocument(rows []parameter, u membercard.UserCard) document {
	d := documentOf(rows, u)
	if !u.PhoneNumber.IsZero() {
		d["phone_number"] = s.plaintext(u.PhoneNumber)
	}
	if u.UserInformation == nil {
		return d
	}
	answers := d.object("user_information")
	for i, answer := range answers.objects("common_field_list") {
		answer["value"] = s.plaintext(u.UserInformation.CommonFieldList[i].Value)
	}
	for i, answer := range answers.objects("custom_field_list") {
		var values []any
		for _, value := range u.UserInformation.CustomFieldList[i].UserChosenValues {
			values = append(values, s.plaintext(value))
		}
		answer["user_chosen_values"] = values
	}
	return d
}
