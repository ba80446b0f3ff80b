package membercard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
)

// identifierNames are the parameters that an answer has, too, the one that tells most first. brand_id is not among them: in
// the official samples it differs.
var identifierNames = []string{
	"out_request_no", "record_id", "activity_id", "user_card_code", "openid", "card_id", "echo_message", "offset",
}

// resultShape is what the client knows of the form of an operation's result.
type resultShape struct {
	typ         reflect.Type
	identifiers []identifier    // identifiers of the request, the one that tells most first
	needs       []int           // when it has none: the texts that it is asked for
	list        int             // the field with the elements of a page; -1 for none
	names       map[string]bool // of all members, to tell them from names that Go's decoder takes for the same
}

// identifier is a parameter that an answer has, too: a field of the request, and of the result or of its elements.
type identifier struct {
	name      string
	in, out   int
	ofElement bool
}

func resultOf(typ reflect.Type, parameters []parameter) resultShape {
	r := resultShape{typ: typ, list: -1, names: map[string]bool{}}
	addNames(r.names, typ)
	for out := range typ.NumField() {
		field := typ.Field(out)
		name, options := jsonName(field)
		if name == "data" {
			r.list = out
			if field.Type.Elem().Kind() != reflect.Struct {
				continue
			}
			for element := range field.Type.Elem().NumField() {
				name, _ := jsonName(field.Type.Elem().Field(element))
				r.addIdentifier(name, element, true, parameters)
			}
			continue
		}
		r.addIdentifier(name, out, false, parameters)
		if options == "" && field.Type.Kind() == reflect.String {
			r.needs = append(r.needs, out)
		}
	}
	slices.SortStableFunc(r.identifiers, func(a, b identifier) int {
		return slices.Index(identifierNames, a.name) - slices.Index(identifierNames, b.name)
	})
	if slices.ContainsFunc(r.identifiers, func(id identifier) bool { return !id.ofElement }) {
		r.needs = nil
	}
	return r
}

func (r *resultShape) addIdentifier(name string, out int, ofElement bool, parameters []parameter) {
	if !slices.Contains(identifierNames, name) {
		return
	}
	for _, p := range parameters {
		if p.name == name {
			r.identifiers = append(r.identifiers, identifier{name, p.index, out, ofElement})
		}
	}
}

// finalState is a result of an irreversible operation. It reports whether the state is the one that the operation leaves.
type finalState interface{ isFinal() bool }

// decode decodes the body of a success, and makes sure that it is the answer to this request. undecoded names optional
// members of an odd form. The error is errIsError for the body of an error, and matches errOtherRequest for the answer to another
// request. It is any other when the body cannot be decoded.
func (r *request) decode(body []byte) (decoded any, undecoded string, err error) {
	value := reflect.New(r.shape.typ)
	body = exactNames(body, r.shape.names)
	err = json.Unmarshal(body, value.Interface())
	if err == nil && bytes.TrimSpace(body)[0] != '{' { // null is all that remains
		return nil, "", errNoObject
	}
	if err != nil && json.Valid(body) {
		var odd []string
		if odd, err = decodeMembers(body, value, ""); err == nil {
			undecoded = strings.Join(odd, ", ")
		}
	}
	if other := r.compare(value.Elem(), body); other != nil {
		if apiv3.ParseErrorBody(body).Code != "" && !r.identifiesItself(value.Elem(), body) {
			return nil, "", errIsError
		}
		if err == nil || errors.Is(other, errOtherIdentifier) {
			return nil, "", other
		}
	}
	if err != nil {
		return nil, "", err
	}
	return value.Interface(), undecoded, nil
}

// isError reports whether a body is that of an error: it has a code, and none of the identifiers.
func (r *request) isError(body []byte) bool {
	_, _, err := r.decode(body)
	return errors.Is(err, errIsError)
}

// compare returns nil when a result is the answer to the request, as far as can be seen.
func (r *request) compare(result reflect.Value, body []byte) error {
	for _, id := range r.shape.identifiers {
		asked := parameterText(r.in.Field(id.in))
		switch {
		case asked == "": // a filter that was not used
		case id.ofElement:
			elements := result.Field(r.shape.list)
			for i := range elements.Len() {
				if got := parameterText(elements.Index(i).Field(id.out)); got != "" && got != asked {
					return fmt.Errorf("%w: %s of element %d", errOtherIdentifier, id.name, i)
				}
			}
		default:
			got := parameterText(result.Field(id.out))
			if got == "0" { // also what was not there, or is no number
				got = strings.Trim(strings.TrimSuffix(member(body, id.name), ".0"), `"`)
			}
			if got != asked && got != "" {
				return fmt.Errorf("%w: %s", errOtherIdentifier, id.name)
			}
		}
	}
	if !r.identifiesItself(result, body) {
		return fmt.Errorf("%w: what it should show is missing", errOtherRequest)
	}
	if r.class == irreversible && !result.Addr().Interface().(finalState).isFinal() {
		return fmt.Errorf("%w: the state that it shows is not the final one", errOtherRequest)
	}
	return nil
}

// identifiesItself reports whether a result shows that it is the answer to the request. A page has its list or its size; a result
// one of the identifiers asked for, but not the template's alone where many have it, or the text that it is asked for. A
// read may leave the identifiers out, but not everything.
func (r *request) identifiesItself(result reflect.Value, body []byte) bool {
	if r.shape.list >= 0 {
		return member(body, "data") != "" || member(body, "total_count") != ""
	}
	for i, id := range r.shape.identifiers {
		if !result.Field(id.out).IsZero() && (i == 0 || id.name != "card_id") {
			return true
		}
	}
	if len(r.shape.needs) > 0 {
		return slices.ContainsFunc(r.shape.needs, func(out int) bool { return result.Field(out).String() != "" })
	}
	return r.class == read && r.shape.hasAny(body)
}

// hasAny reports whether a body has a member of the result, other than a time, which a notification has as well.
func (r *resultShape) hasAny(body []byte) bool {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members)
	for field := range r.typ.Fields() {
		name, _ := jsonName(field)
		if _, has := members[name]; has && name != "create_time" {
			return true
		}
	}
	return false
}
