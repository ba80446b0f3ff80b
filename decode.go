package membercard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// unmarshalExactly decodes JSON without members whose names only Go's decoder takes for known ones.
func unmarshalExactly(data []byte, value any) error {
	return json.Unmarshal(exactly(data, value), value)
}

// exactly is exactNames for the names that a value has.
func exactly(data []byte, value any) []byte {
	names := map[string]bool{}
	addNames(names, reflect.TypeOf(value))
	return exactNames(data, names)
}

// exactNames returns a body without the members whose names Go's decoder takes for a known one although they are
// written differently: User_Card_State is not user_card_state.
func exactNames(body []byte, names map[string]bool) []byte {
	if !mayHaveInexactName(body, names) || !json.Valid(body) {
		return body
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	_ = decoder.Decode(&value)
	exact, _ := json.Marshal(withoutInexact(value, names))
	return exact
}

func withoutInexact(value any, names map[string]bool) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if isInexact(name, names) {
				delete(v, name)
				continue
			}
			v[name] = withoutInexact(member, names)
		}
	case []any:
		for i := range v {
			v[i] = withoutInexact(v[i], names)
		}
	}
	return value
}

func isInexact(name string, names map[string]bool) bool {
	if names[name] {
		return false
	}
	for known := range names {
		if strings.EqualFold(known, name) {
			return true
		}
	}
	return false
}

// mayHaveInexactName looks at the strings of a body that a colon follows, without decoding it. A name with an escape counts, whatever
// it stands for.
func mayHaveInexactName(body []byte, names map[string]bool) bool {
	for {
		_, text, found := bytes.Cut(body, []byte{'"'})
		if !found {
			return false
		}
		end := 0
		for end < len(text) && text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(text) { // a string without an end
			return false
		}
		text, body = text[:end], text[end+1:]
		isName := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte{':'})
		if isName && (bytes.Contains(text, []byte{'\\'}) || isInexact(string(text), names)) {
			return true
		}
	}
}

// addNames adds the JSON names within a type.
func addNames(names map[string]bool, typ reflect.Type) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice:
		addNames(names, typ.Elem())
	case reflect.Struct:
		for field := range typ.Fields() {
			if name, _ := jsonName(field); name != "" && !names[name] {
				names[name] = true
				addNames(names, field.Type)
			} else if field.Anonymous {
				addNames(names, field.Type)
			}
		}
	}
}

// decodeMembers decodes an object member by member, so that one of an odd form does not hide the others. It returns
// the names of optional members that could not be decoded, and an error for another one.
func decodeMembers(body []byte, value reflect.Value, path string) (odd []string, err error) {
	value.Elem().SetZero()
	typ := value.Type().Elem()
	_, decodesItself := value.Interface().(json.Unmarshaler)
	switch {
	case typ.Kind() == reflect.Pointer && typ.Elem().Kind() == reflect.Struct && string(body) != "null":
		pointed := reflect.New(typ.Elem())
		value.Elem().Set(pointed)
		return decodeMembers(body, pointed, path)
	case typ.Kind() == reflect.Struct && !decodesItself:
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			return nil, memberError(json.Unmarshal(body, value.Interface()), path)
		}
		for i := range typ.NumField() {
			name, options := jsonName(typ.Field(i))
			member, there := members[name]
			if !there {
				continue
			}
			inner, err := decodeMembers(member, value.Elem().Field(i).Addr(), path+name+".")
			if err != nil && (options == "" || name == "data") { // a page whose elements cannot be read is not an empty one
				return nil, err
			}
			if err != nil {
				value.Elem().Field(i).SetZero()
				inner = []string{path + name}
			}
			odd = append(odd, inner...)
		}
		return odd, nil
	case typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
		var elements []json.RawMessage
		if err := json.Unmarshal(body, &elements); err != nil {
			return nil, memberError(json.Unmarshal(body, value.Interface()), path)
		}
		if elements != nil {
			value.Elem().Set(reflect.MakeSlice(typ, len(elements), len(elements)))
		}
		for i, element := range elements {
			inner, err := decodeMembers(element, value.Elem().Index(i).Addr(), fmt.Sprintf("%s%d.", path, i))
			if err != nil {
				return nil, err
			}
			odd = append(odd, inner...)
		}
		return odd, nil
	}
	return nil, memberError(json.Unmarshal(body, value.Interface()), path)
}

// memberError adds the name of a member to the error of a decoder that was given the member alone.
func memberError(err error, path string) error {
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mismatch.Field == "" {
		mismatch.Field = strings.TrimSuffix(path, ".")
	}
	return err
}

// member returns the JSON of a member; "" when it is not there, or null.
func member(body []byte, name string) string {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members)
	if value := string(members[name]); value != "null" {
		return value
	}
	return ""
}
